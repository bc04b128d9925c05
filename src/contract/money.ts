const PICO = 1e12;

/** Rounds an amount in USD to 1e-12, the scale at which the store keeps money: sums of rounded amounts stay exact. */
export function roundUsd(usd: number): number {
  return Math.round(usd * PICO) / PICO;
}

/** Adds amounts in USD without the rounding errors of binary fractions. Exact up to about 9,000 USD. */
export function sumUsd(amounts: readonly number[]): number {
  return amounts.reduce((sum, usd) => sum + Math.round(usd * PICO), 0) / PICO;
}

/** Formats USD for a person: in cents, or with two significant digits below one cent. */
export function formatUsd(usd: number): string {
  if (usd === 0 || usd >= 0.01) return `$${usd.toFixed(2)}`;
  return `$${Number(usd.toPrecision(2))}`;
}
