/** Of a model whose limits nobody states. */
const UNKNOWN_TOKENS = 128_000;

/**
 * The most output tokens of one answer, thinking included, by the providers' pages of their models (platform.claude.com/docs/en/models,
 * developers.openai.com/api/docs/models; read in November 2026). The first that matches counts. A limit that is too high only
 * reserves more.
 */
const MAX_OUTPUT_TOKENS: readonly (readonly [RegExp, number])[] = [
  [/^claude-(fable|opus|sonnet|haiku)-5/, 128_000],
  [/^claude-(opus|sonnet)-4-[6-9]/, 128_000],
  // With the beta `output-128k-2025-02-19`.
  [/^claude-3-7-sonnet/, 128_000],
  [/^claude-(opus|haiku)-4-5|^claude-sonnet-4/, 64_000],
  [/^claude-opus-4-[01]/, 32_000],
  [/^claude-3-5/, 8_192],
  [/^claude-(2|3|v1)/, 4_096],
  [/^gpt-5-pro/, 272_000],
  [/^gpt-[56]/, 128_000],
  [/^gpt-4\.1/, 32_768],
  [/^(gpt-4o|gpt-4\.5|chatgpt-4o|gpt-audio)/, 16_384],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4/, 8_192],
  [/^gpt-3\.5/, 16_385],
  [/^(o\d|codex-mini)/, 100_000],
];

/**
 * The most input tokens of one image, however small its file is: Claude's largest (platform.claude.com/docs, vision), eight tiles
 * of gpt-4o-mini, and 10,000 patches of the smallest GPT-5 (developers.openai.com, images and vision).
 */
const IMAGE_TOKENS: readonly (readonly [RegExp, number])[] = [
  [/^claude-/, 5_000],
  [/^gpt-4o-mini/, 50_000],
];
const UNKNOWN_IMAGE_TOKENS = 25_000;

/** The context window of a model, in tokens, and what one answer and one image can be at most. */
export interface ModelLimits {
  contextTokens: number;
  maxOutputTokens: number;
  imageTokens: number;
}

/** Limits of a model by its canonical name. What is stated of it goes first; of an unknown one its whole context can be output. */
export function limitsOf(id: string, stated: { contextTokens?: number | undefined; maxOutputTokens?: number | undefined }): ModelLimits {
  const contextTokens = stated.contextTokens ?? UNKNOWN_TOKENS;
  const maxOutputTokens = stated.maxOutputTokens ?? lookUp(MAX_OUTPUT_TOKENS, id) ?? Math.max(UNKNOWN_TOKENS, contextTokens);
  return { contextTokens, maxOutputTokens, imageTokens: lookUp(IMAGE_TOKENS, id) ?? UNKNOWN_IMAGE_TOKENS };
}

function lookUp(table: readonly (readonly [RegExp, number])[], id: string): number | undefined {
  return table.find(([pattern]) => pattern.test(id))?.[1];
}
