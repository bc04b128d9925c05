/** The context window and output limit of a model for which neither is known. */
const DEFAULT_MAX_TOKENS = 128_000;

/**
 * The output limit of one answer in tokens, thinking included, from the providers' pages about their models
 * (platform.claude.com/docs/en/models, developers.openai.com/api/docs/models; read in November 2026). The first match counts. A limit
 * that is too high only reserves more.
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
 * The most input tokens of one image, whatever its file size: Claude's largest (platform.claude.com/docs, vision), eight tiles of
 * gpt-4o-mini, and 10,000 patches of the smallest GPT-5 (developers.openai.com, images and vision).
 */
const IMAGE_TOKENS: readonly (readonly [RegExp, number])[] = [
  [/^claude-/, 5_000],
  [/^gpt-4o-mini/, 50_000],
];
const DEFAULT_IMAGE_TOKENS = 25_000;

/** Limits of a model in tokens: its context window, the output of one answer, and the input of one image. */
export interface ModelLimits {
  contextTokens: number;
  maxOutputTokens: number;
  imageTokens: number;
}

/** Finds the limits of a model by its canonical name. Stated limits take precedence; an unknown model can output its whole context. */
export function findModelLimits(
  id: string,
  stated: { contextTokens?: number | undefined; maxOutputTokens?: number | undefined },
): ModelLimits {
  const contextTokens = stated.contextTokens ?? DEFAULT_MAX_TOKENS;
  const maxOutputTokens = stated.maxOutputTokens ?? lookUp(MAX_OUTPUT_TOKENS, id) ?? Math.max(DEFAULT_MAX_TOKENS, contextTokens);
  return { contextTokens, maxOutputTokens, imageTokens: lookUp(IMAGE_TOKENS, id) ?? DEFAULT_IMAGE_TOKENS };
}

function lookUp(table: readonly (readonly [RegExp, number])[], id: string): number | undefined {
  return table.find(([pattern]) => pattern.test(id))?.[1];
}
