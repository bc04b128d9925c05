const HOST = '127.0.0.1';
/** The gateway's address among them: the agent's own requests do not pass here. */
const NOT_PROXIED = ['localhost', HOST, '::1'];

/** Paths, as seen inside the sandbox, of certificates of the operator's own. */
export interface Certificates {
  /** They and all that the system trusts. */
  bundle: string;
  /** They alone. */
  own: string;
}

/** Tools differ in which they read. */
const both = (name: string, value: string): Record<string, string> => ({ [name]: value, [name.toLowerCase()]: value });

/** What makes the usual tools go through the proxy at a loopback port. */
export function toolEnvironment(port: number, certificates: Certificates | null): Record<string, string> {
  const proxy = `http://${HOST}:${port}`;
  return {
    ...both('HTTP_PROXY', proxy),
    ...both('HTTPS_PROXY', proxy),
    ...both('ALL_PROXY', proxy),
    ...both('NO_PROXY', NOT_PROXIED.join(',')),
    // Node's own fetch and http; Yarn reads none of the others.
    NODE_USE_ENV_PROXY: '1',
    YARN_HTTP_PROXY: proxy,
    YARN_HTTPS_PROXY: proxy,
    // An agent without a network has npm report that there is none.
    npm_config_offline: 'false',
    ...(certificates === null ? {} : trust(certificates)),
  };
}

/** Each of these replaces the system's list, but Node's, which adds to it. */
function trust({ bundle, own }: Certificates): Record<string, string> {
  const names = ['SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT', 'CARGO_HTTP_CAINFO', 'GIT_SSL_CAINFO'];
  return { ...Object.fromEntries(names.map((name) => [name, bundle])), NODE_EXTRA_CA_CERTS: own };
}

/** Files of the home, by relative path: Java's build tools read no variable. */
export function toolFiles(port: number): Record<string, string> {
  const notProxied = NOT_PROXIED.map((host) => (host.includes(':') ? `[${host}]` : host)).join('|');
  const proxies = ['http', 'https'].map(
    (protocol) => `    <proxy>
      <id>egress-${protocol}</id>
      <active>true</active>
      <protocol>${protocol}</protocol>
      <host>${HOST}</host>
      <port>${port}</port>
      <nonProxyHosts>${notProxied}</nonProxyHosts>
    </proxy>`,
  );
  const properties = ['http', 'https'].flatMap((protocol) => [
    `systemProp.${protocol}.proxyHost=${HOST}`,
    `systemProp.${protocol}.proxyPort=${port}`,
    `systemProp.${protocol}.nonProxyHosts=${notProxied}`,
  ]);
  return {
    '.m2/settings.xml': `<settings>\n  <proxies>\n${proxies.join('\n')}\n  </proxies>\n</settings>\n`,
    '.gradle/gradle.properties': `${properties.join('\n')}\n`,
  };
}
