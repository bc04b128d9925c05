/** Ports of a rule that names none: what package registries and git servers listen on. */
export const DEFAULT_PORTS: readonly number[] = [443, 80];

/** One entry of an allow-list of hosts. */
export interface HostRule {
  /** Lower case, in ASCII (punycode); `*` for every host. */
  host: string;
  /** `*.` stood before it: any name below the host, at any depth, and never the host itself. */
  below: boolean;
  /** Null: the ports that hold for the whole list. */
  port: number | null;
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** At least two labels, the last of them no number: neither a bare name nor an address. */
const HOST = new RegExp(`^(?=.{1,253}$)(?:${LABEL}\\.)+(?!\\d+$)${LABEL}$`);

/** A host name as it is compared: lower case, in punycode. Null for what is none: an address, a bare name such as `localhost`, a URL. */
export function normalizeHost(text: string): string | null {
  // Each of these ends or moves the host in a URL, or is taken away by its parser.
  if (text.length > 253 || /[\s/\\?#@:%[\]]/.test(text)) return null;
  const url = `http://${text}`;
  if (!URL.canParse(url)) return null;
  const { hostname } = new URL(url);
  return HOST.test(hostname) ? hostname : null;
}

/** Reads `git.example.com`, `*.example.com`, either with `:port`. Null for anything else. */
export function parseHostRule(text: string): HostRule | null {
  const match = /^(\*\.)?([^*:]+?)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const [, star, name = '', digits] = match;
  const host = normalizeHost(name);
  const port = digits === undefined ? null : Number(digits);
  if (host === null || (port !== null && (port < 1 || port > 65_535))) return null;
  return { host, below: star !== undefined, port };
}

/** Reads an entry of an installation's list: as a job's, or `*` for every host. Null for anything else. */
export function parseAllowedHost(text: string): HostRule | null {
  const match = /^\*(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return parseHostRule(text);
  return { host: '*', below: false, port: match[1] === undefined ? null : Number(match[1]) };
}

/** A host and a port of an operator's own network; `address`, where it is given, is taken in place of a look-up. */
export interface PrivateHost {
  /** `host:port`. */
  target: string;
  address: string | null;
}

/** Reads `host:port` and `host:port=address`. Null for anything else; whether the address is one is not looked at. */
export function parsePrivateHost(text: string): PrivateHost | null {
  const [name = '', address = null, ...rest] = text.split('=');
  const rule = parseHostRule(name);
  if (rule === null || rule.below || rule.port === null || rest.length > 0 || address === '') return null;
  return { target: `${rule.host}:${rule.port}`, address };
}

/** The text that `parseHostRule` reads. */
export function formatHostRule({ host, below, port }: HostRule): string {
  return `${below ? '*.' : ''}${host}${port === null ? '' : `:${port}`}`;
}

/** Whether a rule names this host, ports aside. `host`: normalized. */
export function namesHost(rule: HostRule, host: string): boolean {
  if (rule.host === '*') return true;
  return rule.below ? host.endsWith(`.${rule.host}`) : host === rule.host;
}
