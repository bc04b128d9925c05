import { readFileSync } from 'node:fs';

import { z } from 'zod';

const manifest: unknown = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));

/** The name that the image of sandboxes has unless another is given: each version of Valetkey is tested with its own agents. */
export const DEFAULT_IMAGE = `valetkey-sandbox:${z.object({ version: z.string() }).parse(manifest).version}`;
