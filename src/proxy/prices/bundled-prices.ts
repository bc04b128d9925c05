import { calcPrice, findProvider, type MatchLogic, type ModelInfo, type Provider } from '@pydantic/genai-prices';

import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import type { PriceTable } from './rates.ts';

/** A model as the bundled price data knows it. */
export interface BundledModel {
  /** Its canonical name. */
  id: string;
  /** Undefined where the data does not state it. */
  contextTokens: number | undefined;
  prices: PriceTable;
}

// The bundled data is never fetched anew: a price changes with the package, so two replicas agree.
const PROVIDERS: Record<Dialect, Provider> = { anthropic: providerOf('anthropic'), openai: providerOf('openai') };

/** Models that search the web by themselves, at a fee that their usage does not state. */
const SEARCHES = /-search-|deep-research/;
/** What may follow the name of a model: the date of a snapshot, or `-latest`. */
const SNAPSHOT = /(-latest|[-@]\d{8}|-\d{4}-\d{2}-\d{2})$/;
/** The beginning of a date, where the data's prefix has one. */
const BEGUN_DATE = /[-@](20\d\d-?)?$/;

/**
 * The model of exactly this name, at the prices of today; null where there is none. The data itself matches by prefix, which prices
 * names that nobody has: here nothing but a snapshot's date or `-latest` may follow.
 */
export function findBundled(dialect: Dialect, name: string): BundledModel | null {
  if (name !== name.toLowerCase().trim() || SEARCHES.test(name)) return null;
  const found = calcPrice({}, name, { provider: PROVIDERS[dialect] });
  if (found === null || !isNameOf(found.model, name)) return null;
  return { id: found.model.id, contextTokens: found.model.context_window, prices: found.model_price };
}

/** The names of all bundled models, without the snapshots of models that have a name without a date. */
export function bundledNames(): { dialect: Dialect; name: string }[] {
  return DIALECTS.flatMap((dialect) =>
    PROVIDERS[dialect].models.flatMap(({ id, match }) => {
      const names = new Set([id, ...equals(match)]);
      const undated = [...names].filter((name) => !SEARCHES.test(name) && (!SNAPSHOT.test(name) || !names.has(name.replace(SNAPSHOT, ''))));
      return undated.map((name) => ({ dialect, name }));
    }),
  );
}

function isNameOf({ id, match }: ModelInfo, name: string): boolean {
  const dashed = name.replace(/[-@](\d{4})(\d{2})(\d{2})$/, '-$1-$2-$3');
  return name.replace(SNAPSHOT, '') === id || name === id || isExact(match, name) || isExact(match, dashed);
}

function isExact(match: MatchLogic, name: string): boolean {
  if ('or' in match) return match.or.some((option) => isExact(option, name));
  if ('equals' in match) return match.equals.toLowerCase() === name;
  if ('starts_with' in match) return match.starts_with.toLowerCase().replace(BEGUN_DATE, '') === name.replace(SNAPSHOT, '');
  return 'regex' in match && match.regex.startsWith('^') && match.regex.endsWith('$') && new RegExp(match.regex).test(name);
}

function equals(match: MatchLogic): string[] {
  if ('or' in match) return match.or.flatMap(equals);
  return 'equals' in match ? [match.equals.toLowerCase()] : [];
}

function providerOf(id: string): Provider {
  const found = findProvider({ providerId: id });
  if (found === undefined) throw new Error(`the price data knows no provider ${id}`);
  return found;
}
