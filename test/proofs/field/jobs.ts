import { setTimeout as sleep } from 'node:timers/promises';

import { Connection } from '@temporalio/client';

import { ValetkeyError } from '../../../src/contract/errors.ts';
import { check, type Case } from '../case.ts';
import type { FieldRig } from './rig.ts';

const FORGET_MS = 60_000;

/** What a call is refused with; null: it is not. */
async function codeOf(call: Promise<unknown>): Promise<string | null> {
  return call.then(
    () => null,
    (error: unknown) => (ValetkeyError.is(error) ? error.code : String(error)),
  );
}

/** Sends prompts to a job that runs, each once, whatever a busy worker takes. */
async function promptAll({ client }: FieldRig, jobId: string, texts: readonly string[]): Promise<void> {
  for (const [index, text] of texts.entries()) {
    for (;;) {
      const code = await codeOf(client.jobs.prompt(jobId, text, { id: `p${index}` }));
      if (code === null) break;
      if (code !== 'no_worker') throw new Error(`prompt ${index}: ${code}`);
    }
  }
}

/** Has Temporal forget a closed workflow, as it does after its retention. */
async function forget({ stack }: FieldRig, jobId: string): Promise<void> {
  const { address, namespace } = stack.temporal;
  const connection = await Connection.connect({ address });
  try {
    await connection.workflowService.deleteWorkflowExecution({ namespace, workflowExecution: { workflowId: jobId } });
    for (const giveUpAt = Date.now() + FORGET_MS; Date.now() < giveUpAt; await sleep(200)) {
      const known = await connection.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId: jobId } }).then(
        () => true,
        () => false,
      );
      if (!known) return;
    }
    throw new Error('Temporal does not forget the job');
  } finally {
    await connection.close();
  }
}

/** A job of many turns, each prompt of so many bytes, each answer of `answer`. */
function manyTurns(name: string, turns: number, prompt: string, answer: string): Case<FieldRig> {
  return {
    name,
    run: async (rig) => {
      const jobId = await rig.submit({ prompts: [prompt], keepOpen: '20s', deadline: '30m' });
      await promptAll(
        rig,
        jobId,
        Array.from({ length: turns - 1 }, () => prompt),
      );
      const { result, events, says } = await rig.ended(jobId);
      const told = events.filter(({ type }) => type === 'turn.ended').length;
      const right = result.turns.filter(({ stopReason, message }) => stopReason === 'end_turn' && message.endsWith(answer)).length;
      return check(result.outcome === 'completed' && right === turns && told === turns, `${says}: ${right} and ${told} of ${turns} turns`);
    },
  };
}

/** A turn of many questions, each answered by a program as soon as its event comes. */
function manyQuestions(count: number): Case<FieldRig> {
  return {
    name: `a program answers ${count} questions of one turn`,
    run: async (rig) => {
      const prompt = Array.from({ length: count }, () => '!ask x').join('\n');
      const jobId = await rig.submit({ prompts: [prompt], permissions: 'ask', permissionTimeout: '5m', deadline: '2h' });
      const refused: (string | null)[] = [];
      let asked = 0;
      for await (const event of rig.client.jobs.events(jobId)) {
        if (event.type !== 'permission.asked') continue;
        asked += 1;
        const code = await codeOf(rig.client.jobs.answer(jobId, event.id, 'allow'));
        if (code !== null) refused.push(code);
      }
      const { result, events, says } = await rig.ended(jobId);
      const byUser = events.filter((event) => event.type === 'permission.answered' && event.by === 'user').length;
      return check(
        result.outcome === 'completed' && refused.length === 0 && asked === count && byUser === count,
        `${says}: ${asked} asked, ${byUser} answered, ${refused.length} refused (${[...new Set(refused)].join()})`,
      );
    },
  };
}

function slow(one: Case<FieldRig>): Case<FieldRig> {
  return { ...one, isSlow: true };
}

const LARGE = `!say ok\n${'x'.repeat(250_000)}`;
const CHINESE = '保'.repeat(4200);

const USED_ID: Case<FieldRig> = {
  name: 'the id of a job that Temporal has forgotten is refused',
  run: async (rig) => {
    const id = `used-${Date.now()}`;
    const spec = { prompts: ['!say first'] };
    const first = await rig.run(spec, { id });
    await forget(rig, id);
    const codes = await Promise.all([
      codeOf(rig.submit({ prompts: ['!say second'] }, { id })),
      codeOf(rig.submit(spec, { id })),
      codeOf(rig.submit(spec, { id })),
    ]);
    let events = 0;
    for await (const _ of rig.client.jobs.events(id, { follow: false })) events += 1;
    return check(codes.every((code) => code === 'job_conflict') && events === first.events.length, `${codes.join()}; ${events} events`);
  },
};

const INTERRUPTED_AT_ONCE: Case<FieldRig> = {
  name: 'a turn is interrupted right after the event of its start',
  run: async (rig) => {
    const turns = 5;
    const jobId = await rig.submit({ prompts: Array.from({ length: turns }, () => '!hang') });
    const refused: (string | null)[] = [];
    for await (const event of rig.client.jobs.events(jobId))
      if (event.type === 'turn.started') refused.push(await codeOf(rig.client.jobs.interrupt(jobId)));
    const { result, says } = await rig.ended(jobId);
    const stopped = result.turns.filter(({ stopReason }) => stopReason === 'cancelled').length;
    return check(stopped === turns && refused.every((code) => code === null), `${says}: ${stopped} of ${turns}, ${refused.join()}`);
  },
};

const PROMPTED_AT_ONCE: Case<FieldRig> = {
  name: 'a job takes a prompt right after the event of its start',
  run: async (rig) => {
    const jobId = await rig.submit({ prompts: [], keepOpen: '10s' });
    for await (const event of rig.client.jobs.events(jobId)) if (event.type === 'job.started') break;
    const code = await codeOf(rig.client.jobs.prompt(jobId, '!say one'));
    const { result, says } = await rig.ended(jobId);
    return check(code === null && result.turns[0]?.message === 'one', `${code ?? 'taken'}; ${says}`);
  },
};

/** Big and long jobs, ids and answers; those at the size at which they broke are slow. */
export const JOBS: readonly Case<FieldRig>[] = [
  manyTurns('12 prompts of 250 KB', 12, LARGE, 'ok'),
  manyTurns('12 answers of 4,200 Chinese characters', 12, `!say ${CHINESE}`, CHINESE.slice(0, 4096)),
  manyQuestions(20),
  USED_ID,
  INTERRUPTED_AT_ONCE,
  PROMPTED_AT_ONCE,
  slow(manyTurns('115 prompts of 250 KB', 115, LARGE, 'ok')),
  slow(manyTurns('200 answers of 4,200 Chinese characters', 200, `!say ${CHINESE}`, CHINESE.slice(0, 4096))),
  slow(manyQuestions(2000)),
];
