import { z } from 'zod';

import type { ResponseUsage } from '../protocols/response-usage.ts';
import type { Protocol } from '../protocols/routes.ts';

/** OpenAI's price of each service tier, as a multiple of the standard price (openai.com/api-fast-mode; November 2026). */
const OPENAI_FACTORS: Record<string, number> = {
  auto: 1,
  default: 1,
  standard: 1,
  scale: 1,
  flex: 0.5,
  batch: 0.5,
  priority: 2,
  fast: 2.5,
  ultrafast: 6,
};
const GPT_5_5_PRIORITY_FACTOR = 2.5;
/** An unknown tier is charged like the most expensive known one: too much rather than too little. */
const UNKNOWN_TIER_FACTOR = 6;

const ANTHROPIC_TIER_FACTORS: Record<string, number> = { standard: 1, priority: 1, batch: 0.5 };
/** The factor of the first models with fast mode; later ones cost twice the standard price (platform.claude.com/docs, fast mode). */
const ANTHROPIC_FAST_FACTOR = 6;
/** The factor of inference that stays in a region (platform.claude.com/docs, pricing). */
const ANTHROPIC_REGION_FACTOR = 1.1;
const NO_REGION = new Set(['global', 'not_available']);

const text = z.string().optional().catch(undefined);
const anthropicSchema = z.object({ service_tier: text, speed: text, inference_geo: text });

/** Returns the factor by which the tier of an answer changes the price of its tokens; 1 where the answer states no tier. */
export function tierFactor(
  protocol: Protocol,
  model: string,
  { serviceTier, usage }: Pick<ResponseUsage, 'serviceTier' | 'usage'>,
): number {
  if (protocol !== 'anthropic-messages') {
    if (serviceTier === null) return 1;
    if (serviceTier === 'priority' && /^gpt-5[.-]5/.test(model)) return GPT_5_5_PRIORITY_FACTOR;
    return factorOf(OPENAI_FACTORS, serviceTier);
  }
  const { service_tier: tier, speed, inference_geo: region } = anthropicSchema.parse(usage ?? {});
  const byTier = tier === undefined ? 1 : factorOf(ANTHROPIC_TIER_FACTORS, tier);
  const bySpeed = speed === undefined || speed === 'standard' ? 1 : ANTHROPIC_FAST_FACTOR;
  const byRegion = region === undefined || region === '' || NO_REGION.has(region) ? 1 : ANTHROPIC_REGION_FACTOR;
  return byTier * bySpeed * byRegion;
}

function factorOf(factors: Record<string, number>, tier: string): number {
  return Object.hasOwn(factors, tier) ? (factors[tier] ?? UNKNOWN_TIER_FACTOR) : UNKNOWN_TIER_FACTOR;
}
