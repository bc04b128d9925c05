import { ZERO_CHARGE, type Charge } from './charge.ts';

/** Sums the charges of one request's tries. */
export function sumCharges(charges: readonly Charge[]): Charge {
  return charges.reduce(
    (sum, { inputTokens, outputTokens, usd, estimated, implausible }) => ({
      inputTokens: sum.inputTokens + inputTokens,
      outputTokens: sum.outputTokens + outputTokens,
      usd: sum.usd + usd,
      estimated: sum.estimated || estimated,
      implausible: sum.implausible || implausible,
    }),
    ZERO_CHARGE,
  );
}
