import { loadClientConnectConfig, type ClientConnectConfig } from '@temporalio/envconfig';

import { ValetkeyError } from '../contract/errors.ts';

/**
 * Where Temporal is, by its own variables and profile. Throws `invalid_config`, without the words of the parser: it quotes what
 * it read, keys included.
 */
export function temporalConfig(): ClientConnectConfig {
  const config = readTemporalConfig();
  const { address, apiKey } = config.connectionOptions;
  // gRPC refuses them with an error that quotes the key.
  if (typeof apiKey === 'string' && !/^[\x20-\x7e]*$/.test(apiKey))
    throw wrongTemporal('TEMPORAL_API_KEY', 'has characters that a header cannot have, such as a newline');
  if (address !== undefined && !/^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(address))
    throw wrongTemporal('TEMPORAL_ADDRESS', 'must be host:port');
  return config;
}

function readTemporalConfig(): ClientConnectConfig {
  try {
    return loadClientConnectConfig();
  } catch {
    throw wrongTemporal('TEMPORAL_PROFILE', 'it or its configuration file cannot be read');
  }
}

function wrongTemporal(path: string, message: string): ValetkeyError {
  return new ValetkeyError('invalid_config', `${path}: ${message}`, [{ path, message }]);
}
