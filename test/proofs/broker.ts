import { CELLS } from './broker/cells.ts';
import { startBrokerRig } from './broker/rig.ts';
import { timed } from './case.ts';
import { attack, holdsForProxy, type ProxyProof } from './proxy.ts';
import { say } from './say.ts';

/** The real credential stays outside, tried for each strategy with each agent, and by requests of chance. */
export interface BrokerProof extends Omit<ProxyProof, 'cases' | 'failed'> {
  /** Strategies times agents. */
  cells: number;
  /** Those where a real credential was found inside, or the provider received another than the right one, with what was seen. */
  found: string[];
}

export interface BrokerProofOptions {
  seed: number;
  /** Of the requests by chance. */
  requests: number;
  /** Cells whose name holds this. */
  only?: string | undefined;
}

/** Runs a job for each cell, over a Temporal, a Postgres and a provider of its own, then attacks a gateway with requests by chance. */
export async function broker({ seed, requests, only = '' }: BrokerProofOptions): Promise<BrokerProof> {
  const cells = CELLS.filter(({ name }) => name.includes(only));
  const found = await search(cells);
  const { cases: _, failed, ...attacked } = await attack([], { seed, requests });
  return { cells: cells.length, found: [...found, ...failed], ...attacked };
}

async function search(cells: typeof CELLS): Promise<string[]> {
  const rig = await startBrokerRig();
  try {
    const found: string[] = [];
    for (const cell of cells) {
      const seen = await timed(cell, () => cell.run(rig), say);
      if (seen !== null) found.push(seen);
    }
    return found;
  } finally {
    await rig.close();
  }
}

export function holdsForBroker({ cells, found, ...attacked }: BrokerProof): boolean {
  return cells > 0 && holdsForProxy({ ...attacked, cases: 0, failed: found });
}
