/** Models of the keys of this proof. */
export const CLAUDE = 'claude-sonnet-4-6';
export const GPT = 'gpt-5.1';
export const MODELS = [CLAUDE, GPT, 'claude-haiku-4-5', 'gpt-5-nano', 'gpt-5-pro'];

/** What the gateway shows to the provider; it never reaches a caller. */
export const CREDENTIAL = 'sk-upstream-credential-of-this-proof-0123456789';
/** An organization and a project of the provider's account, which never reach a caller either. */
export const ORGANIZATION = 'org-AbCdEfGhIjKlMnOpQrStUvWx';
export const PROJECT = 'proj_AbCdEfGhIjKlMnOpQrStUvWx';
