import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { Agent } from '../../agents/agent.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { shellQuote } from '../../system/shell-quote.ts';
import { withTemporaryFolder } from '../../system/temporary-folder.ts';
import { sandboxEnvironment, writeTools } from '../launch/tools.ts';
import type { SandboxRequest } from '../sandbox.ts';
import { remotePaths as at, remoteView } from './layout.ts';
import { SERVER_PORT } from './vendor.ts';

const NO_NODE = 91;
const NO_SERVER = 92;
const NO_TOOL = 93;
const NO_AGENT = 94;
const NO_WORKSPACE = 95;

/**
 * Returns a script that writes our programs and starts the sandbox-agent server. Idempotent: where a server runs, it does nothing,
 * so two workers may run it at the same time. The token is drawn inside and stays in a file there; the server has no other way to
 * receive it than an argument, which only the sandbox's own processes see. Every port of a sandbox can be public, so the server
 * always requires it.
 */
export async function startScript(request: SandboxRequest, agent: Agent): Promise<string> {
  const environment = Object.entries(sandboxEnvironment(remoteView, agent, request, []))
    .map(([name, value]) => shellQuote(`${name}=${value}`))
    .join(' ');
  const agentPackage = agent.package === null ? '/' : join(at.nodeModules, agent.package.name);
  return `set -eu
umask 077
mkdir -p ${at.own}
cd ${at.own}
exec 9> start.lock
flock 9
if test -f server.pid && kill -0 "$(cat server.pid)" 2> /dev/null; then exit 0; fi
test -x ${at.node} || exit ${NO_NODE}
test -x ${at.server} || exit ${NO_SERVER}
for tool in git tar gzip split setsid bash; do command -v "$tool" > /dev/null || exit ${NO_TOOL}; done
test -d ${shellQuote(agentPackage)} || exit ${NO_AGENT}
test -w ${at.workspace} || exit ${NO_WORKSPACE}
rm -rf tools
${await toolCommands(agent)}
if ! test -s token; then
  od -An -v -N32 -tx1 /dev/urandom | tr -d ' \\n' > token.part
  mv token.part token
fi
setsid sh -c 'echo $$ > server.pid; cd ${at.workspace}; exec env -i "$@" ${at.server} server --no-telemetry --host 0.0.0.0 --port ${SERVER_PORT} --token "$(cat ${at.token})"' server ${environment} > server.log 2>&1 < /dev/null 9>&- &
until test -s server.pid; do sleep 0.02; done
`;
}

/** Explains an exit code of the script. `image`: the vendor's image that the sandbox is made of. */
export function explainStart(exitCode: number, image: string, agent: Agent): ValetkeyError {
  const missing = {
    [NO_NODE]: `Node at ${at.node}`,
    [NO_SERVER]: `the sandbox-agent server at ${at.server}`,
    [NO_TOOL]: 'git, tar, gzip, split, setsid and bash',
    [NO_WORKSPACE]: `a folder ${at.workspace} that its user can write to`,
  }[exitCode];
  if (exitCode === NO_AGENT)
    return new ValetkeyError('agent_not_installed', `The ${image} has no ${agent.package?.name ?? agent.name} in ${at.nodeModules}.`);
  return new ValetkeyError(
    'sandbox_start_failed',
    missing === undefined
      ? `The sandbox-agent server could not be started in the sandbox (exit code ${exitCode}).`
      : `The ${image} lacks ${missing}: build it as docs/sandboxes.md says.`,
  );
}

/** Returns the commands that write our programs, relative to the folder of our own files. */
async function toolCommands(agent: Agent): Promise<string> {
  return withTemporaryFolder('valetkey-tools-', async (folder) => {
    await writeTools(folder, remoteView, agent, []);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const commands = await Promise.all(
      entries
        .filter((entry) => entry.isFile())
        .map(async (entry) => {
          const file = join(entry.parentPath, entry.name);
          const [content, { mode }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
          const target = shellQuote(`tools${file.slice(folder.length)}`);
          const makeExecutable = (mode & 0o100) === 0 ? '' : `\nchmod 700 ${target}`;
          return `mkdir -p "$(dirname ${target})"\nprintf %s ${shellQuote(content)} > ${target}${makeExecutable}`;
        }),
    );
    return commands.join('\n');
  });
}
