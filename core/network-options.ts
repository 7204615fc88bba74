/**
 * The driver options of a network, `-o K=V`: what each may say and what it means. In one place, because controllers
 * refuse by it what agents could not carry out.
 */
import type { Violation } from './errors.js';
import type { Labels } from './model.js';

/** What a network's options say. */
export interface NetworkOptions {
  /** Bytes; undefined: derived on each host from the underlay's route. */
  readonly mtu: number | undefined;
  /** Domains that its sandboxes' resolvers try behind a name, in this order: resolv.conf's `search`. */
  readonly dnsSearch: readonly string[];
  /** resolv.conf's `options`, as they stand there: `ndots:1`. */
  readonly dnsOptions: readonly string[];
  /** For how long answers about this network's names may be kept; undefined: what the agent says where nothing is set. */
  readonly dnsTtlSeconds: number | undefined;
}

/** What is wrong with one option; `field` is its path in a request. */
export interface OptionViolation extends Violation {
  /** The option is part of Weft, and of a later version. */
  readonly notBuilt: boolean;
}

/** Every IPv6 link carries 1280 bytes (RFC 8200), every IPv4 host takes 576 (RFC 791). */
const MTU_MIN = { ipv4: 576, ipv6: 1_280 } as const;
const MTU_MAX = 65_535;

const TTL_MAX_SECONDS = 3_600;

/** What musl, and glibc before 2.26, read of a search list: more would be cut off without a word. */
const SEARCH_MAX = { domains: 6, characters: 255 } as const;

/** resolv.conf(5): options with a number and its bounds (a resolver silently takes the bound for what is beyond)... */
const RESOLVER_NUMBERS: ReadonlyMap<string, { readonly min: number; readonly max: number }> = new Map([
  ['ndots', { min: 0, max: 15 }],
  ['timeout', { min: 1, max: 30 }],
  ['attempts', { min: 1, max: 5 }],
]);

/** ...and those that stand alone. */
const RESOLVER_FLAGS: ReadonlySet<string> = new Set([
  ...['rotate', 'no-check-names', 'edns0', 'single-request', 'single-request-reopen', 'no-tld-query', 'use-vc'],
  ...['no-reload', 'trust-ad', 'no-aaaa'],
]);

/** One label of a domain: RFC 1123's, and the underscore that service names begin with. */
const DOMAIN_LABEL = /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/;
const DOMAIN_MAX = 253;

const NOT_BUILT: ReadonlyMap<string, string> = new Map([
  ['encrypted', 'option encrypted is not built yet'],
  ['multicast', 'option multicast is not built yet'],
  ['parent', 'option parent is not built yet'],
  ['dns', 'option dns is not built yet: names outside of the cluster are not forwarded'],
]);

type Fields = { -readonly [Key in keyof NetworkOptions]: NetworkOptions[Key] };

/** Reads one option's value into `fields`; what is wrong with it where it is not valid. */
type Reader = (value: string, fields: Fields) => string | undefined;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  [
    'mtu',
    (value, fields) => {
      fields.mtu = wholeNumber(value);
      return fields.mtu === undefined ? noMtu(value, false) : objectionToMtu(fields.mtu, false);
    },
  ],
  [
    'dns-search',
    (value, fields) => {
      fields.dnsSearch = value.split(',');
      return objectionToSearch(value, fields.dnsSearch);
    },
  ],
  [
    'dns-option',
    (value, fields) => {
      fields.dnsOptions = value.split(',');
      return objectionToResolverOptions(fields.dnsOptions);
    },
  ],
  [
    'dns-ttl',
    (value, fields) => {
      fields.dnsTtlSeconds = wholeNumber(value);
      return fields.dnsTtlSeconds === undefined || fields.dnsTtlSeconds > TTL_MAX_SECONDS
        ? `${quoted(value)} is no TTL: expected 0 to ${String(TTL_MAX_SECONDS)} seconds`
        : undefined;
    },
  ],
]);

/** The options there are, for messages and help. */
export const NETWORK_OPTIONS: readonly string[] = [...READERS.keys()];

/**
 * What the options say, or everything that is wrong with them. Pure, and the same on every machine. Whether an MTU is
 * enough for IPv6 is for whoever knows the subnets: `objectionToMtu`.
 */
export function parseNetworkOptions(options: Labels): NetworkOptions | readonly OptionViolation[] {
  const fields: Fields = { mtu: undefined, dnsSearch: [], dnsOptions: [], dnsTtlSeconds: undefined };
  const violations: OptionViolation[] = [];
  for (const [key, value] of Object.entries(options)) {
    const notBuilt = NOT_BUILT.get(key);
    const read = READERS.get(key);
    const description =
      notBuilt ??
      (read === undefined
        ? `there is no option ${quoted(key)}; there are ${NETWORK_OPTIONS.join(', ')}`
        : read(value, fields));
    if (description === undefined) continue;
    violations.push({ field: `options[${quoted(key)}]`, description, notBuilt: notBuilt !== undefined });
  }
  return violations.length > 0 ? violations : fields;
}

/** Whether reading options came to what is wrong with them. */
export function isOptionViolations(
  read: NetworkOptions | readonly OptionViolation[],
): read is readonly OptionViolation[] {
  return Array.isArray(read);
}

/** Why a network cannot have this MTU, as a sentence; undefined: it can. */
export function objectionToMtu(mtu: number, hasIpv6: boolean): string | undefined {
  const min = hasIpv6 ? MTU_MIN.ipv6 : MTU_MIN.ipv4;
  return mtu >= min && mtu <= MTU_MAX ? undefined : noMtu(String(mtu), hasIpv6);
}

function noMtu(text: string, hasIpv6: boolean): string {
  const [min, because] = hasIpv6 ? [MTU_MIN.ipv6, ' in a network with IPv6'] : [MTU_MIN.ipv4, ''];
  return `${quoted(text)} is no MTU: expected ${String(min)} to ${String(MTU_MAX)}${because}`;
}

function objectionToSearch(value: string, domains: readonly string[]): string | undefined {
  const { domains: most, characters } = SEARCH_MAX;
  if (domains.length > most || value.length > characters) {
    return `at most ${String(most)} domains of ${String(characters)} characters together: resolvers read no more`;
  }
  const wrong = domains.find((domain) => !isDomain(domain));
  if (wrong !== undefined)
    return `${quoted(wrong)} is no domain; expected DOMAIN[,DOMAIN...], as in a.example,b.example`;
  const twin = repeated(domains.map((domain) => domain.toLowerCase()));
  return twin === undefined ? undefined : `${twin} is named twice`;
}

function isDomain(text: string): boolean {
  return text.length <= DOMAIN_MAX && text.split('.').every((label) => DOMAIN_LABEL.test(label));
}

function objectionToResolverOptions(options: readonly string[]): string | undefined {
  for (const option of options) {
    const [name = '', number, ...more] = option.split(':');
    const bounds = RESOLVER_NUMBERS.get(name);
    if (bounds !== undefined) {
      const value = number === undefined || more.length > 0 ? undefined : wholeNumber(number);
      if (value === undefined || value < bounds.min || value > bounds.max) {
        return `${quoted(option)}: expected ${name}:N with N from ${String(bounds.min)} to ${String(bounds.max)}`;
      }
    } else if (!RESOLVER_FLAGS.has(option)) {
      const known = [...[...RESOLVER_NUMBERS.keys()].map((each) => `${each}:N`), ...RESOLVER_FLAGS];
      return `there is no resolver option ${quoted(option)}; there are ${known.join(', ')}`;
    }
  }
  const twin = repeated(options.map((option) => option.replace(/:.*/, '')));
  return twin === undefined ? undefined : `${twin} is named twice`;
}

function repeated(texts: readonly string[]): string | undefined {
  return texts.find((text, index) => texts.indexOf(text) !== index);
}

/** Decimal digits without leading zeros, few enough that no number is rounded. */
function wholeNumber(text: string): number | undefined {
  return /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined;
}

/** Text of others, so that nothing in it can do more than be read. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
