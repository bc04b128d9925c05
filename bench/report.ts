export interface BenchOptions {
  /** A few rounds only, to see that the bench works: its figures mean little. */
  isShort: boolean;
}

/** What a bench found. */
export interface BenchReport {
  /** One document, for programs. */
  json: unknown;
  /** Rows for a person, the heading first. */
  table: string[][];
  /** Further tables. */
  more?: string[][][];
}

/** Says on standard error what a bench is doing. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
