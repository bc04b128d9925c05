import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import type { Workspace } from '../../../src/contract/spec.ts';
import { check, type Case } from '../case.ts';
import type { Ended, FieldRig } from './rig.ts';

const GIT_ENV = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
};
const COMMITS = `git init -q -b main src; cd src; for i in 1 2 3; do echo $i > f; git add .; git commit -qm c$i; done`;
/** Makes and removes files for as long as it is let. */
const WATCHER =
  'echo work > result.txt; mkdir -p dist; (while :; do for i in 1 2 3 4 5 6 7 8 9; do echo x$RANDOM > dist/tmp.$i.$RANDOM; done; rm -f dist/tmp.*; done) > /dev/null 2>&1 & sleep 0.3; echo left';

async function sh(cwd: string, script: string): Promise<void> {
  await promisify(execFile)('bash', ['-ec', script], { cwd, env: { PATH: process.env.PATH, ...GIT_ENV } });
}

/** What an agent leaves behind. */
function leaving(name: string, command: string, holds: (ended: Ended) => boolean): Case<FieldRig> {
  return {
    name: `work comes out: ${name}`,
    run: async (rig) => {
      const ended = await rig.run({ prompts: [`!run ${command}`] });
      return check(ended.result.outcome === 'completed' && holds(ended), `${ended.says} ${JSON.stringify(ended.result.workspace)}`);
    },
  };
}

/** What a job starts from; the agent runs the command. */
function bringing(
  name: string,
  script: string,
  { command, holds, ...workspace }: Partial<Workspace> & { command: string; holds: RegExp },
): Case<FieldRig> {
  return {
    name: `work goes in: ${name}`,
    run: async (rig) => {
      const folder = await rig.folder();
      await sh(folder, script);
      const path = workspace.path === undefined ? {} : { path: `${folder}/${workspace.path}` };
      const { output, says } = await rig.run({ workspace: { ...workspace, ...path }, prompts: [`!run ${command}`] });
      return check(holds.test(`${output} ${says}`), `${says} | ${output}`);
    },
  };
}

const patchHas =
  (text: string) =>
  ({ patch, result }: Ended) =>
    patch?.includes(text) === true && result.workspace.complete;
const isMarked =
  (path: string) =>
  ({ patch, result }: Ended) =>
    patch?.includes('result.txt') === true &&
    !result.workspace.complete &&
    result.workspace.omitted.some((omitted) => omitted.path === path);

export const WORKSPACE: readonly Case<FieldRig>[] = [
  leaving(
    'nested repository with a commit',
    'mkdir app; cd app; git init -q .; echo hi > index.js; git add .; git -c user.name=a -c user.email=a@b commit -qm init',
    patchHas('app/index.js'),
  ),
  leaving(
    'nested repository without a commit',
    'echo top > top.txt; mkdir app; cd app; git init -q .; echo hi > index.js',
    patchHas('top.txt'),
  ),
  leaving('removed repository', 'rm -rf .git; echo work > result.txt', patchHas('result.txt')),
  leaving('unreadable file', 'echo work > result.txt; echo s > locked; chmod 000 locked', patchHas('locked')),
  leaving('watcher left behind', WATCHER, patchHas('result.txt')),
  leaving(
    'large dependencies',
    'echo work > result.txt; mkdir -p node_modules/big; head -c 12000000 /dev/urandom > node_modules/big/index.node',
    isMarked('node_modules/'),
  ),
  leaving('pipe', 'echo work > result.txt; mkfifo pipe', isMarked('pipe')),
  {
    name: 'work comes out: a job that is cancelled',
    run: async (rig) => {
      const jobId = await rig.submit({ prompts: ['!run echo work > result.txt; touch ready; sleep 600'] });
      for await (const event of rig.client.jobs.events(jobId)) if (event.type === 'tool') break;
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await rig.client.jobs.cancel(jobId);
      const { patch, result, says } = await rig.ended(jobId);
      return check(result.outcome === 'cancelled' && patch?.includes('result.txt') === true && result.workspace.complete, says);
    },
  },
  bringing(
    'folder of repositories',
    'for d in api web; do (mkdir $d; cd $d; git init -q .; echo $d > main.txt; git add .; git commit -qm x); done; mkdir new; cd new; git init -q .; echo n > n',
    {
      path: '.',
      command: 'cat api/main.txt web/main.txt new/n',
      holds: /api\nweb\nn/,
    },
  ),
  bringing('shallow clone', `${COMMITS}; git clone -q --depth 1 file://$PWD ../it`, { path: 'it', command: 'cat f', holds: /^3/ }),
  bringing('blobless clone', `${COMMITS}; git config uploadpack.allowFilter true; git clone -q --filter=blob:none file://$PWD ../it`, {
    path: 'it',
    command: 'cat f',
    holds: /^3/,
  }),
  bringing('repository without a commit', 'git init -q it', { path: 'it', command: 'ls', holds: /workspace_failed.*no commit/ }),
  bringing('work tree', `${COMMITS}; git worktree add -q ../it HEAD~1`, { path: 'it', command: 'cat f', holds: /^2/ }),
  ...['TICKET-9@fix', 'feature/#12-cart', 'release/1.2+hotfix', 'fix/größe', 'refs/pull/7/head'].map((ref) =>
    bringing(`ref ${ref}`, `${COMMITS}; git update-ref '${ref.startsWith('refs/') ? ref : `refs/heads/${ref}`}' HEAD~1`, {
      path: 'src',
      ref,
      command: 'cat f',
      holds: /^2/,
    }),
  ),
  bringing('files that a .gitignore names', 'true', {
    files: { '.gitignore': '*.log\n.env\n', 'app.log': 'needed', '.env': 'A=1' },
    command: 'ls -A',
    holds: /\.env\n[^]*app\.log/,
  }),
  {
    name: 'work goes in: a file that is a folder, too, is refused at submit',
    run: async (rig) => {
      const error: unknown = await rig.submit({ workspace: { files: { a: 'x', 'a/b': 'y' } } }).catch((caught: unknown) => caught);
      return check(ValetkeyError.is(error) && error.code === 'invalid_spec', String(error));
    },
  },
  {
    name: 'setup: its files are there and not in the patch',
    run: async (rig) => {
      const { output, patch, says } = await rig.run({
        workspace: { files: { 'a.txt': 'a\n' }, setup: ['mkdir deps; echo dep > deps/dep', 'cat deps/dep'] },
        prompts: ['!run cat deps/dep; echo work > work'],
      });
      return check(output?.includes('dep') === true && patch?.includes('work') === true && !patch.includes('dep'), `${says} ${patch}`);
    },
  },
  {
    name: 'setup: one that fails ends the job before the first turn',
    run: async (rig) => {
      const { result, events, says } = await rig.run({ workspace: { setup: ['true', 'echo why; exit 7'] } });
      const told = events.some((event) => event.type === 'setup.output' && event.output.includes('why'));
      const turned = events.some((event) => event.type === 'turn.started');
      return check(result.failure?.code === 'setup_failed' && result.failure.message.includes('exit code 7') && told && !turned, says);
    },
  },
];
