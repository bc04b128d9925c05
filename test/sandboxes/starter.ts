/** A worker for tests: starts a sandbox with the options and the request given as JSON, prints its handle and stays. */
import { z } from 'zod';

import { agents } from '../../src/agents/index.ts';
import { createLocalProvider } from '../../src/sandboxes/local/local.ts';

const optionsSchema = z.object({ stateDir: z.string(), socketDir: z.string(), hostTaskQueue: z.string(), path: z.string() });
const [options = '', jobId = ''] = process.argv.slice(2);
const provider = createLocalProvider({ agents, owner: 'default/tests', agentsDir: undefined, ...optionsSchema.parse(JSON.parse(options)) });
const handle = await provider.start({ jobId, agent: 'codex', isolation: 'bubblewrap' });
process.stdout.write(`${JSON.stringify(handle)}\n`);
setInterval(() => {}, 60_000);
