import { shellQuote } from '../system/shell-quote.ts';
import type { HostCredential } from './find-host-credentials.ts';

/** What a POSIX shell reads as one word without quotes. */
const PLAIN = /^[\w@%+=:,./-]+$/;
const VARIABLES: Record<string, readonly string[]> = {
  anthropic: ['ANTHROPIC_API_KEY', 'CLAUDE_API_KEY'],
  openai: ['OPENAI_API_KEY', 'CODEX_API_KEY'],
};

/**
 * Formats credentials as assignments for a POSIX shell, one per line. A value is quoted where the shell would read it in another way; a
 * provider whose name makes no name of a variable is left out.
 */
export function formatEnvironment(credentials: readonly HostCredential[], { isExported }: { isExported: boolean }): string[] {
  return credentials.flatMap(({ provider, secret }) =>
    variablesOf(provider).map((name) => `${isExported ? 'export ' : ''}${name}=${PLAIN.test(secret) ? secret : shellQuote(secret)}`),
  );
}

function variablesOf(provider: string): readonly string[] {
  if (Object.hasOwn(VARIABLES, provider)) return VARIABLES[provider] ?? [];
  const name = `${provider.toUpperCase().replaceAll('-', '_')}_API_KEY`;
  return /^[A-Z_][A-Z0-9_]*$/.test(name) ? [name] : [];
}
