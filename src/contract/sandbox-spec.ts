import { z } from 'zod';

import { DEFAULT_PORTS, formatHostRule, parseHostRule } from './host-rule.ts';

/** Bytes of UTF-8 of all values of `sandbox.env` together: they are passed as arguments of a process. */
const MAX_ENV_BYTES = 32 * 1024;
/** Characters of all sealed secrets of a job together: they are repeated in the history with each turn. */
const MAX_SEALED_CHARS = 32 * 1024;

/** Variables that Valetkey, the sandbox-agent server, the loader or a shell reads: a job must not override their settings. */
const RESERVED =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|BASH_ENV|ENV|IFS|IS_SANDBOX|NO_BROWSER|NODE_OPTIONS|NODE_USE_ENV_PROXY|(ALL|HTTPS?|NO)_PROXY|(XDG|LD|VALETKEY|SANDBOX_AGENT|ANTHROPIC|CLAUDE|OPENAI|CODEX|OPENCODE|QWEN|DASHSCOPE|AMP|BUN_JSC|GIGACAGE|MIMALLOC)_.*|GIT_(?!(AUTHOR|COMMITTER)_(NAME|EMAIL|DATE)$).*)$/i;

const portSchema = z.int().min(1).max(65_535);

const hostRuleSchema = z
  .string()
  .max(320)
  .refine((text) => parseHostRule(text) !== null, 'must be a host like git.example.com or *.example.com, with :port if need be; no address')
  .transform((text) => {
    const rule = parseHostRule(text);
    return rule === null ? text : formatHostRule(rule);
  });

export const egressSchema = z
  .strictObject({
    hosts: z
      .array(hostRuleSchema)
      .min(1)
      .max(100)
      .describe('Hosts that the sandbox reaches: "git.example.com", "*.example.com" for every name below it, either with ":port".'),
    ports: z
      .array(portSchema)
      .min(1)
      .max(20)
      .default([...DEFAULT_PORTS])
      .describe('Ports of the hosts that name none.'),
    maxMiB: z
      .int()
      .positive()
      .max(1024 * 1024)
      .optional()
      .describe('MiB that may pass, both directions together; default and most: what the installation allows.'),
  })
  .describe('What the sandbox reaches by name beside the gateway; nothing when left out.');

export const toolEnvSchema = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be a name of A-Z a-z 0-9 _')
      .refine((name) => !RESERVED.test(name), 'is set by Valetkey, or would be read by its own programs'),
    z
      .string()
      .max(8192)
      .refine((value) => !value.includes('\0'), 'must not hold NUL'),
  )
  .refine((env) => Object.keys(env).length <= 100, 'must be at most 100 variables')
  .refine((env) => new TextEncoder().encode(Object.values(env).join('')).length <= MAX_ENV_BYTES, `must be at most ${MAX_ENV_BYTES} bytes`)
  .describe('Environment variables of the sandbox. Readable in Temporal: a secret goes into `secrets`.');

/** A sealed secret: the compact JWE that `valetkey seal` prints. */
export const sealedSchema = z
  .string()
  .max(8192)
  .regex(/^[\w-]+\.[\w-]*\.[\w-]+\.[\w-]+\.[\w-]+$/, 'must be sealed: valetkey seal');

export const toolSecretsSchema = z
  .record(z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'must be a name of A-Z 0-9 _'), sealedSchema)
  .refine((secrets) => Object.keys(secrets).length <= 16, 'must be at most 16 secrets')
  .refine((secrets) => Object.values(secrets).join('').length <= MAX_SEALED_CHARS, `must be at most ${MAX_SEALED_CHARS} characters`)
  .describe('Sealed secrets (`valetkey seal --for tool`) for tools: each in a file, whose path is in <NAME>_FILE.');

export type EgressSpec = z.output<typeof egressSchema>;
export type ToolSecrets = z.output<typeof toolSecretsSchema>;

/** Returns the name of the environment variable that holds the path of a secret's file. */
export function secretVariable(name: string): string {
  return `${name}_FILE`;
}
