import { hardcap } from './hardcap.ts';
import { litellm } from './litellm.ts';
import type { Peer } from './peer.ts';
import { portkey } from './portkey.ts';
import { tensorzero } from './tensorzero.ts';

export const PEERS = { litellm, portkey, tensorzero, hardcap } satisfies Record<string, Peer>;
