import type { Command } from '@commander-js/extra-typings';

import { agents } from '../../agents/index.ts';
import { loadConfig } from '../../config/config.ts';
import { buildImage } from '../../sandboxes/docker/build-image.ts';
import { DEFAULT_IMAGE } from '../../sandboxes/docker/default-image.ts';
import { openEngine } from '../../sandboxes/docker/engine.ts';
import { pullImage } from '../../sandboxes/docker/pull-image.ts';
import { printJson, printLines } from '../output/print.ts';

const EXAMPLES = `
Jobs with the provider "docker" run in this image; none of them builds or pulls anything. Give all workers its name: VALETKEY_DOCKER_IMAGE.

Examples:
  $ valetkey images build
  $ valetkey images build --base registry.example.com/toolchains:12 --image registry.example.com/sandbox:7
  $ valetkey images pull registry.example.com/sandbox:7
`;

export function addImages(program: Command): void {
  const images = program.command('images').description('Build or pull the image of sandboxes in containers').addHelpText('after', EXAMPLES);
  images
    .command('build')
    .description("Build the image on the Docker Engine of this host, with this installation's agents")
    .option('--base <image>', 'the image to build on: it has glibc, bash, git, curl and the toolchains that agents need')
    .option('--image <name>', `name of the image; VALETKEY_DOCKER_IMAGE, else ${DEFAULT_IMAGE}, unless given`)
    .option('--json', 'print one JSON document: the image and its agents')
    .action(async ({ base, image: name, json }) => {
      const { docker, agentsDir, path } = loadConfig();
      const image = name ?? docker.image ?? DEFAULT_IMAGE;
      const engine = await openEngine(docker.socketPath, 0);
      const built = await buildImage(engine, { image, base, agents, agentsDir, path, report: reportProgress });
      if (json === true) return printJson(built);
      const missing = built.missing.length === 0 ? [] : [`Not installed here, so not in it: ${built.missing.join(', ')}.`];
      printLines([`${image} is built, with ${built.agents.join(', ')}.`, ...missing, `Workers need VALETKEY_DOCKER_IMAGE=${image}.`]);
    });
  images
    .command('pull')
    .description('Pull the image from a registry to the Docker Engine of this host')
    .argument('[image]', 'name of the image; VALETKEY_DOCKER_IMAGE unless given')
    .action(async (name) => {
      const { docker } = loadConfig();
      const image = name ?? docker.image ?? DEFAULT_IMAGE;
      await pullImage(await openEngine(docker.socketPath, 0), image, reportProgress);
      printLines([`${image} is pulled.`]);
    });
}

function reportProgress(line: string): void {
  process.stderr.write(`${line}\n`);
}
