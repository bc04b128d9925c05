/** The ports of a rule that names none: package registries and git servers listen on these. */
export const DEFAULT_PORTS: readonly number[] = [443, 80];

/** One entry of an allow-list of hosts. */
export interface HostRule {
  /** Lower case, in ASCII (punycode); `*` for every host. */
  host: string;
  /** True for `*.host`: any name below the host, at any depth, but never the host itself. */
  below: boolean;
  /** Null: the ports of the whole list apply. */
  port: number | null;
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
/** A host has at least two labels and the last is no number, which excludes bare names and addresses. */
const HOST = new RegExp(`^(?=.{1,253}$)(?:${LABEL}\\.)+(?!\\d+$)${LABEL}$`);

/** Normalizes a host name for comparison: lower case, punycode. Null for anything else: an address, a bare name such as `localhost`, a URL. */
export function normalizeHost(text: string): string | null {
  // Each of these characters ends or moves the host in a URL, or is removed by the URL parser.
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

/** Reads an entry of an installation's allow-list: a rule, or `*` for every host. Null for anything else. */
export function parseAllowedHost(text: string): HostRule | null {
  const match = /^\*(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return parseHostRule(text);
  return { host: '*', below: false, port: match[1] === undefined ? null : Number(match[1]) };
}

/** A host and port in the operator's own network; `address`, if set, replaces the DNS lookup. */
export interface PrivateHost {
  /** `host:port`. */
  target: string;
  address: string | null;
}

/** Reads `host:port` and `host:port=address`. Null for anything else; the address is not checked. */
export function parsePrivateHost(text: string): PrivateHost | null {
  const [name = '', address = null, ...rest] = text.split('=');
  const rule = parseHostRule(name);
  if (rule === null || rule.below || rule.port === null || rest.length > 0 || address === '') return null;
  return { target: `${rule.host}:${rule.port}`, address };
}

/** Formats a rule as the text that `parseHostRule` reads. */
export function formatHostRule({ host, below, port }: HostRule): string {
  return `${below ? '*.' : ''}${host}${port === null ? '' : `:${port}`}`;
}

/** Whether a list of hosts allows a normalized host at a port. `ports`: of the hosts that name none. */
export function isHostAllowed(
  { hosts, ports }: { hosts: readonly string[]; ports: readonly number[] },
  host: string,
  port: number,
): boolean {
  const rules = hosts.flatMap((text) => parseHostRule(text) ?? []);
  return isAllowedBy(rules, ports, host, port);
}

/** As `isHostAllowed`, for rules that are read already. */
export function isAllowedBy(rules: readonly HostRule[], ports: readonly number[], host: string, port: number): boolean {
  return rules.some((rule) => namesHost(rule, host) && (rule.port === null ? ports.includes(port) : rule.port === port));
}

/** Whether a rule matches a normalized host, regardless of ports. */
export function namesHost(rule: HostRule, host: string): boolean {
  if (rule.host === '*') return true;
  return rule.below ? host.endsWith(`.${rule.host}`) : host === rule.host;
}
