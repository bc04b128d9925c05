const TYPES: Record<number, { type: string; code: string | null }> = {
  401: { type: 'invalid_request_error', code: 'invalid_api_key' },
  402: { type: 'insufficient_quota', code: 'insufficient_quota' },
  403: { type: 'invalid_request_error', code: 'unsupported_country_region_territory' },
  404: { type: 'invalid_request_error', code: 'model_not_found' },
  429: { type: 'requests', code: 'rate_limit_exceeded' },
};

/** The error envelope of OpenAI's APIs. */
export function openaiError(status: number, message: string, code?: string): object {
  const known = TYPES[status] ?? { type: status < 500 ? 'invalid_request_error' : 'server_error', code: null };
  return { error: { message, param: null, ...known, ...(code !== undefined && { code }) } };
}
