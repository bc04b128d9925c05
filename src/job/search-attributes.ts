import { defineSearchAttributeKey } from '@temporalio/common';

/** The namespace has to know these; the names are what a person types into the search field of Temporal's UI. */
export const searchAttributes = {
  tenant: defineSearchAttributeKey('ValetkeyTenant', 'KEYWORD'),
  agent: defineSearchAttributeKey('ValetkeyAgent', 'KEYWORD'),
  gateway: defineSearchAttributeKey('ValetkeyGateway', 'KEYWORD'),
  /** `minting` from the start, then `live`, and `dead` once the key of the job was seen refused. */
  keyState: defineSearchAttributeKey('ValetkeyKeyState', 'KEYWORD'),
  spendUsd: defineSearchAttributeKey('ValetkeySpendUsd', 'DOUBLE'),
} as const;
