import { CELLS } from './broker/cells.ts';
import { startBrokerRig } from './broker/rig.ts';
import { timed } from './case.ts';
import { say } from './say.ts';

/** The real credential stays outside, tried for each strategy with each agent. */
export interface BrokerProof {
  /** Strategies times agents. */
  cells: number;
  /** Those where a real credential was found inside, or the provider received another than the right one, with what was seen. */
  found: string[];
}

/** Runs a job for each cell whose name holds `only`, over a Temporal, a Postgres and a provider of its own. */
export async function broker({ only = '' }: { only?: string | undefined }): Promise<BrokerProof> {
  const rig = await startBrokerRig();
  try {
    const cells = CELLS.filter(({ name }) => name.includes(only));
    const found: string[] = [];
    for (const cell of cells) {
      const seen = await timed(cell, () => cell.run(rig), say);
      if (seen !== null) found.push(seen);
    }
    return { cells: cells.length, found };
  } finally {
    await rig.close();
  }
}

export function holdsForBroker({ cells, found }: BrokerProof): boolean {
  return cells > 0 && found.length === 0;
}
