import type { AdminAnswer } from '../admin-http.ts';
import { isKeyList, type PortkeyApi } from './api.ts';

/** A clock that differs by more makes keys expire at the wrong time. */
const MAX_CLOCK_SKEW_MS = 60_000;
const SCOPES = ['create', 'list', 'read', 'delete'].map((action) => `workspace_service_api_keys.${action}`).join(', ');

/** Checks address, key, workspace and clock by one request for the list of keys. Resolves to sentences that say what to do. */
export async function checkPortkey(api: Pick<PortkeyApi, 'tryList'>): Promise<string[]> {
  const answer = await api.tryList().catch(() => null);
  if (answer === null) return ['Portkey does not answer: check VALETKEY_PORTKEY_BASE_URL and the network of this host.'];
  return [settingsProblem(answer), clockProblem(answer)].filter((problem) => problem !== null);
}

function settingsProblem({ status, body }: AdminAnswer): string | null {
  const isJson = body !== undefined;
  if (status === 401) return 'Portkey refuses the key in PORTKEY_API_KEY: set the one of an active admin API key.';
  if (status === 403)
    return `The key in PORTKEY_API_KEY may not manage the keys of the workspace in PORTKEY_WORKSPACE_ID: give it the scopes ${SCOPES}, or correct the workspace.`;
  // A path that a server does not know is answered with a page of HTML, a workspace with JSON.
  if (isJson && (status === 400 || status === 404 || status === 422))
    return 'Portkey does not know the workspace in PORTKEY_WORKSPACE_ID: set its slug, which begins with "ws-".';
  if (status === 429 || status >= 500) return `Portkey answers with status ${status}: check its state, and VALETKEY_PORTKEY_BASE_URL.`;
  if (status !== 200 || !isKeyList(body))
    return 'The answer is not one of Portkey’s control plane: correct VALETKEY_PORTKEY_BASE_URL, which has no /v1 at its end.';
  return null;
}

function clockProblem({ date }: AdminAnswer): string | null {
  const clockAheadMs = date.getTime() - Date.now();
  if (Math.abs(clockAheadMs) <= MAX_CLOCK_SKEW_MS) return null;
  const skewS = Math.round(Math.abs(clockAheadMs) / 1000);
  return `The clock of this host is ${skewS} s ${clockAheadMs > 0 ? 'behind' : 'ahead of'} Portkey’s: synchronize it, or keys expire at the wrong time.`;
}
