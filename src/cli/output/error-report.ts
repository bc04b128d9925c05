import { ValetkeyError, type FieldIssue } from '../../contract/errors.ts';
import { sanitize, type Paint } from './text.ts';
import { wrapBehind, wrapWords } from './wrap.ts';

/** Formats an error for a terminal; of an unknown one only its name and message. */
export interface ErrorReport {
  code: string;
  message: string;
  hint: string | null;
  issues: readonly FieldIssue[];
}

export function errorReport(error: unknown): ErrorReport {
  if (ValetkeyError.is(error)) {
    const { code, message, hint, issues } = error;
    return { code, message, hint, issues };
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : 'something that is not an error was thrown';
  return { code: 'internal', message, hint: null, issues: [] };
}

/** For a person: the message, or the wrong fields where there are several, and what to do. `columns`: the width of the terminal. */
export function errorLines({ message, hint, issues }: ErrorReport, paint: Paint, columns = Infinity): string[] {
  const several = issues.length > 1;
  const text = several ? `${issues.length} fields are wrong` : sanitize(message).replace(/\s*\n\s*/g, ' ');
  return [
    ...wrapWords(`${paint('red', 'valetkey:')} ${text}`, columns),
    ...(several
      ? issues.flatMap(({ path, message: allowed }) => wrapBehind('  ', `${sanitize(path) || 'job'}: ${sanitize(allowed)}`, columns))
      : []),
    ...(hint === null ? [] : wrapWords(hint, columns).map((line) => paint('dim', line))),
  ];
}
