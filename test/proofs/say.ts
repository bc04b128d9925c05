/** Says on standard error what a proof is doing. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
