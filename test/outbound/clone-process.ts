/** Makes the start of a workspace, as a worker does: a URL and a folder. Prints the id of the commit. */
import { makeStartBundle } from '../../src/session/start-bundle.ts';

const [url = '', folder = ''] = process.argv.slice(2);
const { startCommit } = await makeStartBundle({ git: url }, { path: process.env.PATH ?? '', cwd: folder });
process.stdout.write(startCommit);
