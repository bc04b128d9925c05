import { FREE, type Charge } from './charge.ts';

/** What the tries of one request cost together. */
export function sumCharges(charges: readonly Charge[]): Charge {
  return charges.reduce(
    (sum, { inputTokens, outputTokens, usd, estimated, implausible }) => ({
      inputTokens: sum.inputTokens + inputTokens,
      outputTokens: sum.outputTokens + outputTokens,
      usd: sum.usd + usd,
      estimated: sum.estimated || estimated,
      implausible: sum.implausible || implausible,
    }),
    FREE,
  );
}
