import { text } from 'node:stream/consumers';

import { CommanderError } from '@commander-js/extra-typings';

import { USAGE_EXIT_CODE } from './exit-code.ts';

/** Standard input without the end of its line. Throws `usage` for a terminal, which would show what is typed. */
export async function secretFromInput(command: string): Promise<string> {
  if (process.stdin.isTTY)
    throw new CommanderError(USAGE_EXIT_CODE, `valetkey.${command}`, 'the secret comes on standard input: … < token.txt');
  return (await text(process.stdin)).replace(/\r?\n$/, '');
}
