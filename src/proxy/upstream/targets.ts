import type { Dispatcher } from 'undici';

import { gatewayOf, type JobCredential } from '../../contract/credential.ts';
import type { Dialect } from '../../contract/dialect.ts';
import type { ExternalGatewayName, GatewayName } from '../../contract/gateway-name.ts';
import type { Dispatchers } from '../../outbound/dispatchers.ts';
import { RetryBudget } from '../retries/retry-budget.ts';

/** Where the requests of a key are sent. */
export interface UpstreamTarget {
  /** What answers there: with `builtin`, the provider itself. */
  gateway: GatewayName;
  /** Names it in rate limits: the dialect of a provider, or the gateway. */
  scope: string;
  origin: string;
  /** Returns the path there of a route, which begins with /v1. */
  pathOf: (route: string) => string;
  /** What every request gets besides the credential. */
  headers: Readonly<Record<string, string>>;
  dispatcher: Dispatcher;
  retryBudget: RetryBudget;
}

/** An address and what is sent there with every request. The base URL has no trailing slash and no `/v1`. */
export interface Address {
  baseUrl: string;
  headers?: Readonly<Record<string, string>>;
}

/** The configured addresses. */
export interface TargetOptions {
  providers: Record<Dialect, Address>;
  gateways: Partial<Record<ExternalGatewayName, Address>>;
  /** Where ChatGPT plans are served: the URL that `/responses` is below. */
  chatgpt: string;
}

/** The targets of a proxy: only these hosts ever receive a credential. */
export interface Targets {
  /** Returns the target of a job's requests; undefined where this proxy is not configured with the job's gateway. */
  find(dialect: Dialect, credential: JobCredential): UpstreamTarget | undefined;
}

/** Creates the targets. Does no I/O. */
export function createTargets(dispatchers: Dispatchers, { providers, chatgpt, gateways }: TargetOptions): Targets {
  const create = (gateway: GatewayName, scope: string, { baseUrl, headers = {} }: Address): UpstreamTarget => {
    const { origin, pathname } = new URL(baseUrl);
    const prefix = pathname.replace(/\/$/, '');
    const pathOf = (route: string): string => prefix + route;
    return { gateway, scope, origin, pathOf, headers, dispatcher: dispatchers.forOrigin(origin), retryBudget: new RetryBudget() };
  };
  const ofProviders = {
    anthropic: create('builtin', 'anthropic', providers.anthropic),
    openai: create('builtin', 'openai', providers.openai),
  };
  const plans = create('builtin', 'chatgpt', { baseUrl: chatgpt });
  const { pathOf } = plans;
  const ofPlans = { anthropic: ofProviders.anthropic, openai: { ...plans, pathOf: (route: string) => pathOf(route.replace(/^\/v1/, '')) } };
  const { litellm, openrouter, portkey } = gateways;
  const ofGateways = {
    litellm: litellm === undefined ? undefined : create('litellm', 'litellm', litellm),
    openrouter: openrouter === undefined ? undefined : create('openrouter', 'openrouter', openrouter),
    portkey: portkey === undefined ? undefined : create('portkey', 'portkey', portkey),
  };
  return {
    find: (dialect, credential) => {
      if (credential.strategy === 'subscription') return ofPlans[dialect];
      const gateway = gatewayOf(credential);
      return gateway === 'builtin' ? ofProviders[dialect] : ofGateways[gateway];
    },
  };
}
