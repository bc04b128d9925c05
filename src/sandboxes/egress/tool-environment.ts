const HOST = '127.0.0.1';
/** The gateway listens on loopback, so the agent’s own requests do not pass through the egress proxy. */
const DIRECT_HOSTS = ['localhost', HOST, '::1'];

/** Paths of the operator’s certificates, as seen inside the sandbox. */
export interface Certificates {
  /** The operator’s certificates and all that the system trusts. */
  bundle: string;
  /** The operator’s certificates alone. */
  own: string;
}

/** Some tools read the upper-case name, others the lower-case one. */
const inBothCases = (name: string, value: string): Record<string, string> => ({ [name]: value, [name.toLowerCase()]: value });

/** The environment variables that make common tools use the proxy at a loopback port. */
export function toolEnvironment(port: number, certificates: Certificates | null): Record<string, string> {
  const proxy = `http://${HOST}:${port}`;
  return {
    ...inBothCases('HTTP_PROXY', proxy),
    ...inBothCases('HTTPS_PROXY', proxy),
    ...inBothCases('ALL_PROXY', proxy),
    ...inBothCases('NO_PROXY', DIRECT_HOSTS.join(',')),
    // Node’s fetch and http read this one, and Yarn reads none of the others.
    NODE_USE_ENV_PROXY: '1',
    YARN_HTTP_PROXY: proxy,
    YARN_HTTPS_PROXY: proxy,
    // The agents set npm to offline for sandboxes without a network.
    npm_config_offline: 'false',
    ...(certificates === null ? {} : certificateVariables(certificates)),
  };
}

/** Each variable replaces the system’s list, except Node’s, which adds to it. */
function certificateVariables({ bundle, own }: Certificates): Record<string, string> {
  const names = ['SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT', 'CARGO_HTTP_CAINFO', 'GIT_SSL_CAINFO'];
  return { ...Object.fromEntries(names.map((name) => [name, bundle])), NODE_EXTRA_CA_CERTS: own };
}

/** Files in the home, by relative path, for Java’s build tools, which read no proxy variables. */
export function toolFiles(port: number): Record<string, string> {
  const notProxied = DIRECT_HOSTS.map((host) => (host.includes(':') ? `[${host}]` : host)).join('|');
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
