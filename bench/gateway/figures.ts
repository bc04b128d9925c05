export function ms(value: number): string {
  return `${value.toFixed(2)} ms`;
}

/** To three decimals. */
export function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
