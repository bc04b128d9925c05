/**
 * The files of the host’s /etc that a sandbox sees: those that programs and runtimes read and that hold no secret by their
 * purpose.
 */
const FILES = new Set([
  ...['services', 'protocols', 'rpc', 'networks', 'ethertypes', 'mime.types', 'magic', 'magic.mime', 'shells', 'inputrc'],
  ...['localtime', 'timezone', 'locale.alias', 'gai.conf', 'host.conf', 'ld.so.cache', 'ld.so.conf', 'ca-certificates.conf'],
  ...['os-release', 'debian_version', 'lsb-release', 'redhat-release', 'system-release', 'fedora-release', 'alpine-release'],
  ...['ssl/openssl.cnf', 'ssl/cert.pem', 'pki/tls/openssl.cnf', 'pki/tls/cert.pem', 'maven/m2.conf', 'dotnet/install_location'],
]);

const FOLDERS = [
  ...['alternatives', 'ca-certificates', 'crypto-policies', 'fonts', 'glvnd', 'ld.so.conf.d', 'maven/logging', 'perl', 'sgml', 'ssl/certs'],
  ...['terminfo', 'xml', 'pki/ca-trust/extracted', 'pki/java', 'pki/tls/certs'],
  // Configuration of the JDKs, of Python by version, and the extensions of PHP.
  ...[/^java(-[^/]+)?$/, /^jvm-[^/]+$/, /^python[\d.]*$/, /^php\/[^/]+\/(cli\/conf\.d|mods-available)$/],
];

/** A file with such a name may hold a secret, whatever folder it is in. */
const SECRET_NAME = /passw|secret|credential|token|htaccess|\.(key|p12|pfx|jks|keytab)$/i;

/**
 * Returns whether a sandbox sees this entry of /etc. `path`: relative to /etc. A folder that leads to a listed one is entered, and nothing
 * else in it is visible.
 */
export function isVisibleInEtc(path: string, isFolder: boolean): boolean {
  if (SECRET_NAME.test(path.split('/').at(-1) ?? '')) return false;
  if (!isFolder && FILES.has(path)) return true;
  const parts = path.split('/');
  const isInside = parts.some((_, index) => isListedFolder(parts.slice(0, index + 1).join('/')));
  if (isInside) return true;
  return isFolder && (PARENT_FOLDERS.has(path) || /^php(\/[^/]+(\/cli)?)?$/.test(path));
}

function isListedFolder(path: string): boolean {
  return FOLDERS.some((folder) => (typeof folder === 'string' ? folder === path : folder.test(path)));
}

const PARENT_FOLDERS = new Set(
  [...FILES, ...FOLDERS.filter((folder) => typeof folder === 'string')].flatMap((path) => {
    const parts = path.split('/');
    return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
  }),
);
