import { writeFile } from 'node:fs/promises';

import type { Command } from '@commander-js/extra-typings';

import type { ValetkeyClient } from '../../client/client.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import type { ArtifactInfo } from '../../contract/result.ts';
import { printJson, printLines } from '../output/print.ts';
import { sanitize } from '../output/text.ts';
import { withClient } from '../with-client.ts';

const EXAMPLES = `
Without a name it lists the artifacts: bytes, SHA-256, name.

Examples:
  $ valetkey artifacts job-42
  $ valetkey artifacts job-42 patch | git apply --binary
  $ valetkey artifacts job-42 files/report.pdf --output report.pdf
  $ valetkey artifacts job-42 --json | jq -r '.[].name'
`;

export function addArtifacts(program: Command): void {
  program
    .command('artifacts')
    .description('List the artifacts of a job, or write one of them')
    .argument('<job>', 'its id')
    .argument('[name]', 'the artifact to write: patch, message, files/<path>')
    .option('--output <file>', 'write to this file instead of standard output')
    .option('--json', 'print one JSON document: an array, or the one with its content in base64 unless that goes to a file')
    .addHelpText('after', EXAMPLES)
    .action(async (jobId, name, { output, json }) => {
      await withClient(async (client) => {
        if (name === undefined) await list(client, jobId, json === true);
        else await write(client, jobId, name, { output, json: json === true });
      });
    });
}

async function list(client: ValetkeyClient, jobId: string, json: boolean): Promise<void> {
  const artifacts = await client.jobs.artifacts(jobId);
  // Artifacts outlast Temporal's record of their job, so only a job without artifacts needs the check that it exists.
  if (artifacts.length === 0) await client.jobs.status(jobId);
  if (json) printJson(artifacts);
  else printLines(artifacts.length === 0 ? ['no artifacts'] : lines(artifacts));
}

function lines(artifacts: readonly ArtifactInfo[]): string[] {
  const width = Math.max(...artifacts.map(({ bytes }) => String(bytes).length));
  return artifacts.map(({ name, bytes, sha256 }) => `${String(bytes).padStart(width)}  ${sha256}  ${sanitize(name)}`);
}

async function write(
  client: ValetkeyClient,
  jobId: string,
  name: string,
  { output, json }: { output: string | undefined; json: boolean },
): Promise<void> {
  const artifact = await client.jobs.artifact(jobId, name);
  if (artifact === null) {
    throw new ValetkeyError('artifact_not_found', `The job has no artifact "${name}".`);
  }
  const { content, ...info } = artifact;
  if (output !== undefined) await writeTo(output, content);
  if (json) printJson(output === undefined ? { ...info, base64: content.toString('base64') } : info);
  else if (output === undefined) process.stdout.write(process.stdout.isTTY ? sanitize(content.toString()) : content);
}

async function writeTo(file: string, content: Buffer): Promise<void> {
  await writeFile(file, content).catch((error: NodeJS.ErrnoException) => {
    throw new ValetkeyError('invalid_spec', `--output: cannot write ${file}: ${error.code ?? error.name}`);
  });
}
