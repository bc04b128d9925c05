import { oneLine, sanitize } from './text.ts';

const TITLE_COLUMNS = 160;
const DETAIL_LINES = 12;

/** What an agent requests permission for: its kind and title, and the head of the command or the diff where that says more. */
export function questionText({ kind, title, details }: { kind: string | null; title: string; details: string | null }): string[] {
  const name = [kind === null ? '' : `[${oneLine(kind, TITLE_COLUMNS)}]`, oneLine(title, TITLE_COLUMNS)].filter((text) => text !== '');
  const lines = sanitize(details ?? '')
    .trimEnd()
    .split('\n');
  const saysMore = details !== null && oneLine(details, TITLE_COLUMNS) !== oneLine(title, TITLE_COLUMNS);
  if (!saysMore) return [name.join(' ')];
  const hidden = lines.length - DETAIL_LINES;
  return [name.join(' '), ...lines.slice(0, DETAIL_LINES), ...(hidden > 0 ? [`… ${hidden} more lines`] : [])];
}
