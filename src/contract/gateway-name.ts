/** What mints, budgets and revokes the keys of jobs. */
export const GATEWAYS = ['builtin', 'litellm', 'openrouter', 'portkey'] as const;
export type GatewayName = (typeof GATEWAYS)[number];
/** A gateway of a third party: the proxy sends the key that was minted there in place of the job's key. */
export type ExternalGatewayName = Exclude<GatewayName, 'builtin'>;

/** The gateways' own names, for messages. */
export const GATEWAY_TITLES: Record<GatewayName, string> = {
  builtin: 'the built-in gateway',
  litellm: 'LiteLLM',
  openrouter: 'OpenRouter',
  portkey: 'Portkey',
};
