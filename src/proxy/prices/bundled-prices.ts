import { calcPrice, findProvider, type MatchLogic, type ModelInfo, type Provider } from '@pydantic/genai-prices';

import { DIALECTS, type Dialect } from '../../contract/dialect.ts';
import type { PriceTable } from './rates.ts';

/** A model in the bundled price data. */
export interface BundledModel {
  /** Its canonical name. */
  id: string;
  /** Undefined where the data does not state it. */
  contextTokens: number | undefined;
  prices: PriceTable;
}

// The bundled data is never refreshed at run time: prices change only with the package, so all replicas agree.
const PROVIDERS: Record<Dialect, Provider> = { anthropic: providerOf('anthropic'), openai: providerOf('openai') };

/** Names of models that search the web on their own, at a fee that their usage does not state. */
const SEARCH_MODELS = /-search-|deep-research/;
/** The suffix of a snapshot: its date, or `-latest`. */
const SNAPSHOT = /(-latest|[-@]\d{8}|-\d{4}-\d{2}-\d{2})$/;
/** The start of a date, which some prefixes in the data end with. */
const PARTIAL_DATE = /[-@](20\d\d-?)?$/;

/**
 * Finds the model of exactly this name, at today's prices; null where there is none. The data itself matches by prefix and so prices
 * names that do not exist: here only a snapshot's date or `-latest` may follow the name.
 */
export function findBundled(dialect: Dialect, name: string): BundledModel | null {
  if (name !== name.toLowerCase().trim() || SEARCH_MODELS.test(name)) return null;
  const found = calcPrice({}, name, { provider: PROVIDERS[dialect] });
  if (found === null || !isNameOf(found.model, name)) return null;
  return { id: found.model.id, contextTokens: found.model.context_window, prices: found.model_price };
}

/** Lists the names of all bundled models, without the dated snapshots of models that also have an undated name. */
export function listBundledNames(): { dialect: Dialect; name: string }[] {
  return DIALECTS.flatMap((dialect) =>
    PROVIDERS[dialect].models.flatMap(({ id, match }) => {
      const names = new Set([id, ...equals(match)]);
      const undated = [...names].filter(
        (name) => !SEARCH_MODELS.test(name) && (!SNAPSHOT.test(name) || !names.has(name.replace(SNAPSHOT, ''))),
      );
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
  if ('starts_with' in match) return match.starts_with.toLowerCase().replace(PARTIAL_DATE, '') === name.replace(SNAPSHOT, '');
  return 'regex' in match && match.regex.startsWith('^') && match.regex.endsWith('$') && new RegExp(match.regex).test(name);
}

function equals(match: MatchLogic): string[] {
  if ('or' in match) return match.or.flatMap(equals);
  return 'equals' in match ? [match.equals.toLowerCase()] : [];
}

function providerOf(id: string): Provider {
  const found = findProvider({ providerId: id });
  if (found === undefined) throw new Error(`The bundled price data has no provider ${id}.`);
  return found;
}
