import type { WriteStream } from 'node:tty';
import { stripVTControlCharacters, styleText } from 'node:util';

type Format = Parameters<typeof styleText>[0];

/** Gives a text a colour where the stream shows any: a terminal, and NO_COLOR is not set. */
export type Paint = (format: Format, text: string) => string;

export function paintFor(stream: NodeJS.WritableStream): Paint {
  return (format, text) => styleText(format, text, { stream });
}

/** The width of a stream's lines: that of its terminal, else without limit. */
export function columnsOf({ isTTY, columns = 0 }: Partial<Pick<WriteStream, 'isTTY' | 'columns'>>): number {
  if (isTTY !== true) return Infinity;
  // A terminal that does not know its width says 0.
  return columns === 0 ? 80 : columns;
}

/** A text that an agent wrote, without what could move the cursor, hide lines or rename the window. */
export function sanitize(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\r\n', '\n')
    .replaceAll('\t', '  ')
    .replace(/[^\P{Cc}\n]/gu, '');
}

/** One line of at most `columns` characters. */
export function oneLine(text: string, columns: number): string {
  const line = sanitize(text).replace(/\s+/g, ' ').trim();
  return line.length <= columns ? line : `${line.slice(0, columns - 1)}…`;
}

/** From one instant to another, for a person, cut to two units: `0.4s`, `12.3s`, `2m5s`, `1h30m`, `6d23h`. */
export function elapsed(fromIso: string, toIso: string): string {
  const seconds = (Date.parse(toIso) - Date.parse(fromIso)) / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days > 0) return `${days}d${hours}h`;
  return hours > 0 ? `${hours}h${minutes}m` : `${minutes}m${whole % 60}s`;
}
