/**
 * The facts about a gateway that the presence of its methods does not show, as docs/gateways.md has them. The conformance suite holds each
 * gateway to the first two. The others are fragments of a sentence.
 */
export interface GatewayDescription {
  /** Who chooses the secret of a key: `derived`, we do, so a repeated mint makes the same key; `drawn`, the gateway does. */
  secret: 'derived' | 'drawn';
  /** Whether the gateway refuses other models than the key's; else only the proxy does. */
  refusesModels: boolean;
  /** The unit of a key's budget, and how exact it is. */
  budget: string;
  /** How soon the gateway itself refuses a revoked key. */
  revocation: string;
  /** Which figure settles the spend, and how fresh it is. */
  spend: string;
}
