import { randomUUID } from 'node:crypto';

import { withScript } from '../../src/dev/scripted-model/script.ts';
import type { AgentName } from '../../src/job/spec.ts';
import { check, firstOf, type Case } from '../case.ts';
import { KNOWLEDGE, MEMORY, PERMISSIVE, SETTINGS } from './agent-files.ts';
import type { Ended, FieldRig } from './rig.ts';

/** From the submit to the first request to the model where an MCP server hangs: OpenCode would wait for it for 35 s and more. */
const FIRST_REQUEST_MS = 40_000;
const VENDORS = ['claude', 'codex', 'opencode', 'qwen'] as const satisfies AgentName[];
const WORK = [{ run: 'touch fixed.txt' }, { say: 'Fixed.' }];

/** The job's settings stand, whatever the workspace brings: each agent, each file. The first of each agent is quick. */
const STAND: readonly Case<FieldRig>[] = Object.entries(SETTINGS).flatMap(([name, files]) =>
  Object.entries(files).map(([what, brought], index) => ({
    name: `the workspace brings: ${name}, ${what}`,
    isSlow: index > 0,
    run: async (rig: FieldRig) => {
      const agent = VENDORS.find((vendor) => vendor === name) ?? 'mock';
      const mark = randomUUID();
      const startedMs = Date.now();
      const ended = await rig.run({ agent, deadline: '4m', workspace: { files: brought }, prompts: [withScript(`Fix ${mark}.`, WORK)] });
      const waitedMs = (rig.provider.seen(mark)[0]?.atMs ?? Infinity) - startedMs;
      return firstOf(
        () => worked(ended),
        () => check(!what.includes('hangs') || waitedMs < FIRST_REQUEST_MS, `first request after ${waitedMs} ms`),
      );
    },
  })),
);

/** Nor does it let an agent do unasked what the job wants to be asked for. */
const ASKED: readonly Case<FieldRig>[] = VENDORS.map((agent) => ({
  name: `the workspace permits itself everything, the job denies: ${agent}`,
  isSlow: true,
  run: async (rig) => {
    const { patch, events, says } = await rig.run({
      agent,
      permissions: 'deny',
      workspace: { files: PERMISSIVE[agent] ?? {} },
      prompts: [withScript('Fix it.', WORK)],
    });
    const asked = events.some(({ type }) => type === 'permission.asked');
    return check(asked && patch?.includes('fixed.txt') !== true, says);
  },
}));

/** What an agent is to know of a project it still knows. */
const KNOWN: readonly Case<FieldRig>[] = VENDORS.map((agent) => ({
  name: `the workspace tells of the project: ${agent}`,
  isSlow: true,
  run: async (rig) => {
    const mark = randomUUID();
    const files = { [MEMORY[agent] ?? '']: `This is ${KNOWLEDGE}.\n` };
    const ended = await rig.run({ agent, workspace: { files }, prompts: [withScript(`Fix ${mark}.`, WORK)] });
    const knows = rig.provider.seen(mark).some(({ body }) => body.includes(KNOWLEDGE));
    return firstOf(
      () => worked(ended),
      () => check(knows, 'the model was not told'),
    );
  },
}));

/** A prompt is a text, whatever it begins with: commands of the agents', paths, and what they make of other marks. */
const BEGINNINGS = ['/api/users returns 500 for', '/compact', '/model gpt-4o', ' /help', '/clear', '/status', '!ls', '#memo', '@a.txt'];
const TEXT: readonly Case<FieldRig>[] = [...VENDORS, 'mock' as const].map((agent) => ({
  name: `prompts begin with / ! # @: ${agent}`,
  run: async (rig) => {
    const marks = BEGINNINGS.map(() => randomUUID());
    const { result, says } = await rig.run({
      agent,
      workspace: { files: { 'a.txt': 'a' } },
      prompts: BEGINNINGS.map((beginning, index) => withScript(`${beginning} ${marks[index]}`, [{ say: `Answer ${index}.` }])),
    });
    const lost = BEGINNINGS.filter((_beginning, index) => !result.turns[index]?.message.includes(`Answer ${index}.`));
    return firstOf(
      () => check(result.outcome === 'completed', says),
      () => check(lost.length === 0, `not answered by the model: ${lost.join(', ')}`),
    );
  },
}));

export const AGENT_CASES: readonly Case<FieldRig>[] = [...STAND, ...ASKED, ...KNOWN, ...TEXT];

/** The model of the job was asked, by its key, and did the work: another model than the job's is refused by the gateway. */
function worked({ result, patch, says }: Ended): string | null {
  return check(result.outcome === 'completed' && patch?.includes('fixed.txt') === true, says);
}
