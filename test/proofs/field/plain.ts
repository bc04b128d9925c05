import { withScript } from '../../../src/dev/scripted-model/script.ts';
import { check, type Case } from '../case.ts';
import { PROVEN_AGENTS } from '../script.ts';
import type { FieldRig } from './rig.ts';

/** That the field itself is sound: a job that nothing happens to. */
export const PLAIN: readonly Case<FieldRig>[] = PROVEN_AGENTS.map((agent) => ({
  name: `undisturbed: ${agent}`,
  run: async (rig) => {
    const { result, patch, says } = await rig.run({
      agent,
      prompts: [withScript('Write a file.', [{ run: 'echo one > one.txt' }, { say: 'Done.' }])],
    });
    return check(result.outcome === 'completed' && patch?.includes('+one') === true, says);
  },
}));
