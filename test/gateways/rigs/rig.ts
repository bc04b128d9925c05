import type { ExternalGatewayName } from '../../../src/contract/gateway-name.ts';
import type { Fault, Faults } from '../../fakes/gateway/faults.ts';
import type { Switch } from '../../helpers/switch.ts';

/** A key that the gateway has minted, as its own record has it. */
export interface MintedRecord {
  id: string;
  secret: string;
  generation: number;
  /** The gateway accepts it now. */
  isAccepted: boolean;
  /** The gateway still has a record of it that an operator sees. */
  isListed: boolean;
  /** The caller of the mint received its answer: nobody can send a key whose secret was lost. */
  wasHandedOut: boolean;
  /** Epoch ms. */
  mintedAt: number;
  /** From when on the gateway refuses it, by what is known now; epoch ms, Infinity where it does not expire. */
  endedAt: number;
  /** USD by the gateway's own record. */
  usd: number;
}

export interface RecordedCall {
  call: string;
  /** Null for a call that is about no key. */
  jobId: string | null;
  fault: Fault | null;
}

/**
 * A gateway of a third party, real or faked, for jobs of a whole stack: its record is the auditor, and each call of its control plane can be
 * made to fail.
 */
export interface ExternalRig {
  gateway: ExternalGatewayName;
  title: string;
  /** What a worker and a proxy need to use it. */
  environment: NodeJS.ProcessEnv;
  /** How the gateway names a model of each vendor, with the vendor's prefix and without where it has both. */
  models: { openai: readonly string[]; anthropic: readonly string[] };
  /** The calls that a fault can befall. Those of `ofAll` name no key, so that a fault of them befalls any job. */
  calls: { ofKey: readonly string[]; ofAll: readonly string[] };
  faults: Faults<string>;
  recorded: readonly RecordedCall[];
  /** The line to its control plane and its data plane. */
  line: Switch;
  /** Every key that was ever minted for a job. */
  keysOf(jobId: string): Promise<MintedRecord[]>;
  /** Deletes a key by hand, as somebody at the gateway. */
  deleteKey(id: string): Promise<void>;
  /** Has the gateway take the budget of a key for spent. */
  spendBudget(id: string): Promise<void>;
  /** Replaces our admin credential at the gateway. Returns what puts the right one back. */
  rotateAdmin(): () => void;
  close(): Promise<void>;
}

/** The keys of a job that the gateway accepts now. */
export async function acceptedKeys(rig: ExternalRig, jobId: string): Promise<MintedRecord[]> {
  return (await rig.keysOf(jobId)).filter(({ isAccepted }) => isAccepted);
}
