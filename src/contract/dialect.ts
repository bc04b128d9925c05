/** The providers' APIs: what a caller speaks decides whose error envelope, credential and upstream it gets. */
export const DIALECTS = ['anthropic', 'openai'] as const;

export type Dialect = (typeof DIALECTS)[number];
