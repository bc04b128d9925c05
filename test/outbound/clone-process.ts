/** Makes the start of a workspace, as a worker does: a URL and a folder. Prints the id of the commit. */
import { createStart } from '../../src/workspace/bundle.ts';

const [url = '', folder = ''] = process.argv.slice(2);
const { commit } = await createStart({ git: url }, { path: process.env.PATH ?? '', cwd: folder });
process.stdout.write(commit);
