import { PROVIDER_ISOLATIONS, SANDBOX_PROVIDERS, type SandboxProviderName } from '../src/contract/sandbox-provider.ts';
import { sandboxDescriptions, type SandboxDescription } from '../src/sandboxes/descriptions.ts';

const ROWS: [title: string, field: keyof SandboxDescription][] = [
  ['Runs on', 'place'],
  ['A worker has it with', 'configuredBy'],
  ['Kernel', 'kernel'],
  ['Network', 'network'],
  ['Tools', 'tools'],
  ['User inside, never root', 'user'],
  ['Limits', 'limits'],
  ['Disk', 'disk'],
  ['Egress', 'egress'],
  ['The sandbox-agent server is reached by', 'server'],
  ['Where nobody stops it, it is ended by', 'expiry'],
  ['Tested on', 'testedOn'],
];

/** Builds the table of what holds for each sandbox provider. */
export function sandboxRows(): string[] {
  return [
    row('', (name) => `\`${name}\``),
    `|---${'|---'.repeat(SANDBOX_PROVIDERS.length)}|`,
    row('`isolation`, the first unless named', (name) => PROVIDER_ISOLATIONS[name].map((isolation) => `\`${isolation}\``).join(', ')),
    ...ROWS.map(([title, field]) => row(title, (name) => sandboxDescriptions[name][field])),
    row('The job’s key in it', () => 'in one file, mode 0600: in no environment, argument, image or label'),
  ];
}

function row(title: string, cell: (name: SandboxProviderName) => string): string {
  return `| ${title} | ${SANDBOX_PROVIDERS.map(cell).join(' | ')} |`;
}
