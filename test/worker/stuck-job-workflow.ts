/** A job whose code breaks: each of its workflow tasks fails, and Temporal tries it again for ever. */
export async function sandboxJob(): Promise<void> {
  throw new TypeError('a mistake in the code');
}
