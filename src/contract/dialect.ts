/** The providers' APIs. The dialect of a request decides its error format, its upstream and the upstream credential. */
export const DIALECTS = ['anthropic', 'openai'] as const;

export type Dialect = (typeof DIALECTS)[number];

/** Returns the provider whose API an agent's protocol belongs to. */
export function providerOf(protocol: 'messages' | 'responses' | 'chat'): Dialect {
  return protocol === 'messages' ? 'anthropic' : 'openai';
}
