import type { IncomingMessage, ServerResponse } from 'node:http';

import { DEFAULT_LOGIN, gatewayOf } from '../../contract/credential.ts';
import { ValetkeyError } from '../../contract/errors.ts';
import { GATEWAY_TITLES } from '../../contract/gateway-name.ts';
import { Secret } from '../../secrets/secret.ts';
import type { KeyAccess } from '../../store/requests.ts';
import type { RequestBody } from '../body/request-body.ts';
import { checkAccess } from '../limits/check-access.ts';
import type { ModelPrice } from '../prices/prices.ts';
import type { Route } from '../protocols/routes.ts';
import type { StoredLogin } from '../upstream/credentials.ts';
import { findModelPrice } from '../upstream/gateway-models.ts';
import { findUnknownBeta } from '../upstream/headers.ts';
import type { UpstreamTarget } from '../upstream/targets.ts';
import type { ProxyContext } from './context.ts';
import type { Interruption } from './interruption.ts';
import { isRefusal, refusal, type Refusal } from './refusal.ts';

export type ForwardedRoute = Exclude<Route, { kind: 'models' }>;

/** A request with a valid key. */
export interface AuthenticatedRequest {
  req: IncomingMessage;
  res: ServerResponse;
  route: ForwardedRoute;
  access: KeyAccess;
  keyHash: string;
  /** When the request arrived, in ms of `performance.now()`. */
  startedMs: number;
  interruption: Interruption;
}

/** A request whose body was read, with its price and the credential to send it with. */
export interface PricedRequest extends AuthenticatedRequest {
  body: RequestBody;
  price: ModelPrice;
  target: UpstreamTarget;
  credential: Secret;
  /** The login that the credential belongs to; null for an API key. */
  login: StoredLogin | null;
}

/** Finds the target of a request, its price and the credential to send it with; resolves to the refusal where it may not be sent. */
export async function priceRequest(
  context: ProxyContext,
  request: AuthenticatedRequest,
  body: RequestBody | Refusal,
): Promise<PricedRequest | Refusal> {
  const { req, route, access } = request;
  const beta = route.dialect === 'anthropic' ? findUnknownBeta(req.headers) : null;
  const target = context.targets.find(route.dialect, access.credential);
  if (target === undefined)
    return refusal(
      'gateway_not_configured',
      `This proxy is not configured with ${GATEWAY_TITLES[gatewayOf(access.credential)]}. The operator has to set its address.`,
    );
  const price = isRefusal(body) ? null : findModelPrice(context.prices, target.gateway, route.protocol, body.model);
  const refused = checkAccess({ models: access.models, body, beta, priced: price !== null });
  if (refused !== null || price === null || isRefusal(body)) return refused ?? refusal('internal', 'The gateway failed.');
  if (access.credential.strategy === 'subscription' && route.protocol === 'openai-chat')
    return refusal('llm_rejected', 'A ChatGPT plan serves the Responses API only.');
  const found = await findCredential(context, request);
  if (found === undefined)
    return refusal('llm_unauthorized', 'The gateway has no usable credential for this protocol. The operator has to set or replace it.');
  if (isRefusal(found)) return found;
  return found instanceof Secret
    ? { ...request, body, price, target, credential: found, login: null }
    : { ...request, body, price, target, credential: found.secret, login: found };
}

async function findCredential(
  { credentials, subscriptions, logger }: ProxyContext,
  { access, route }: AuthenticatedRequest,
): Promise<Secret | StoredLogin | Refusal | undefined> {
  const { credential, tenant, ref } = access;
  try {
    if (credential.strategy !== 'subscription') return await credentials.find(route.dialect, access);
    return await subscriptions.find(route.dialect, tenant, credential.name ?? DEFAULT_LOGIN);
  } catch (error) {
    if (!ValetkeyError.is(error)) throw error;
    logger?.warn({ ref, code: error.code }, `The credential of a job cannot be used: ${error.message}`);
    if (credential.strategy === 'subscription') return refusal(error.code, error.message);
    return refusal(error.code, 'The gateway cannot open the credential that is sealed for the job.');
  }
}
