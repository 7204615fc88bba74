/** Where this host's own interfaces and routes lead: subnets that the cluster's automatic choice is to avoid. */
import { boundsOf, contains, familyOf, makeCidr, networkOf, prefixLengthOf, type Cidr } from '../../core/address.js';
import type { Logger } from '../../core/daemon/log.js';
import { objectionToRange } from '../../core/special-range.js';
import type { ListedAddress } from '../kernel/netlink/address.js';
import { NetlinkHandle } from '../kernel/netlink/handle.js';
import { subscribe } from '../kernel/netlink/notifications.js';
import type { ListedRoute } from '../kernel/netlink/route.js';
import { Latest } from '../state/latest.js';
import { WEFT_PROTOCOL } from './rows.js';

/** As many as a controller takes. */
const PREFIXES_MAX = 256;
/** Wider routes are default routes in disguise: VPNs put `0.0.0.0/1` and `128.0.0.0/1`, or `2000::/3`, over the host's own. */
const NARROWEST_DEFAULT = 3;
const RTN_UNICAST = 1;
/** The kernel's own table of local, broadcast and anycast addresses. */
const RT_TABLE_LOCAL = 255;
/** A route daemon's burst is one change. */
const DEBOUNCE_MS = 500;
/** A host with a whole routing table takes seconds to list: looking may cost one part in so many of the time. */
const REST_FACTOR = 20;
/** Notifications may be lost; the host is looked at from time to time. */
const REFRESH_MS = 60_000;

/**
 * Pure: the subnets of the addresses and unicast routes of every table, sorted, none inside another. Neither Weft's own
 * nor default routes, loopback, link-local and multicast.
 */
export function hostPrefixes(
  addresses: readonly Pick<ListedAddress, 'ip' | 'prefixLength' | 'protocol'>[],
  routes: readonly Pick<ListedRoute, 'dst' | 'table' | 'type' | 'protocol'>[],
): Cidr[] {
  const onLinks = addresses
    .filter(({ protocol }) => protocol !== WEFT_PROTOCOL)
    .flatMap(({ ip, prefixLength }) => networkOf(`${ip}/${String(prefixLength)}`) ?? []);
  const byRoutes = routes
    .filter(
      ({ table, type, protocol }) => table !== RT_TABLE_LOCAL && type === RTN_UNICAST && protocol !== WEFT_PROTOCOL,
    )
    .map(({ dst }) => dst);
  const all = [...onLinks, ...byRoutes].filter(
    (cidr) => prefixLengthOf(cidr) > NARROWEST_DEFAULT && objectionToRange(cidr) === undefined,
  );
  return merge(all);
}

/** Pure: sorted, without those that lie in others, halves of a subnet joined; of too many, the widest. */
function merge(cidrs: readonly Cidr[]): Cidr[] {
  const merged: Cidr[] = [];
  for (const cidr of [...new Set(cidrs)].sort(byPlace)) {
    const last = merged.at(-1);
    if (last !== undefined && contains(last, cidr)) continue;
    merged.push(cidr);
    for (let joined = join(merged.at(-2), merged.at(-1)); joined !== undefined;) {
      merged.splice(-2, 2, joined);
      joined = join(merged.at(-2), merged.at(-1));
    }
  }
  if (merged.length <= PREFIXES_MAX) return merged;
  const widest = [...merged].sort((a, b) => prefixLengthOf(a) - prefixLengthOf(b) || byPlace(a, b));
  return widest.slice(0, PREFIXES_MAX).sort(byPlace);
}

/** The subnet of which these are the two halves; none wider than a default route in disguise. */
function join(a: Cidr | undefined, b: Cidr | undefined): Cidr | undefined {
  if (a === undefined || b === undefined || familyOf(a) !== familyOf(b)) return undefined;
  const length = prefixLengthOf(a);
  if (length !== prefixLengthOf(b) || length - 1 <= NARROWEST_DEFAULT) return undefined;
  const whole = makeCidr(familyOf(a), boundsOf(a).first, length);
  const parent = networkOf(whole.replace(/\/\d+$/, `/${String(length - 1)}`));
  return parent !== undefined && contains(parent, b) ? parent : undefined;
}

/** By family, then address, the wider first. */
function byPlace(a: Cidr, b: Cidr): number {
  const [x, y] = [boundsOf(a).first, boundsOf(b).first];
  return familyOf(a) - familyOf(b) || (x < y ? -1 : x > y ? 1 : prefixLengthOf(a) - prefixLengthOf(b));
}

export interface HostPrefixesOptions {
  readonly log: Logger;
  /** Path of the host's namespace; the process's own when absent. */
  readonly netns?: string;
}

/** Looks at the host's addresses and routes whenever the kernel says that they have changed. */
export class HostPrefixes implements Disposable {
  readonly #options: HostPrefixesOptions;
  readonly #handle: NetlinkHandle;
  #subscription: Disposable | undefined;
  #soon: NodeJS.Timeout | undefined;
  #lookMs = 0;
  readonly #refresh: NodeJS.Timeout;

  /** Told only of what is another list than before. */
  readonly latest: Latest<readonly Cidr[]>;

  /** Throws KernelError. */
  constructor(options: HostPrefixesOptions) {
    this.#options = options;
    this.#handle = NetlinkHandle.open({ netns: options.netns });
    this.#subscribe();
    this.latest = new Latest<readonly Cidr[]>(this.#list());
    this.#refresh = setInterval(() => {
      this.#look();
    }, REFRESH_MS);
    this.#refresh.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#refresh);
    clearTimeout(this.#soon);
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = undefined;
    this.#handle[Symbol.dispose]();
  }

  #subscribe(): void {
    const { log, netns } = this.#options;
    this.#subscription = subscribe(
      { groups: ['address4', 'address6', 'route4', 'route6'], netns },
      () => {
        this.#soon ??= setTimeout(
          () => {
            this.#soon = undefined;
            this.#look();
          },
          Math.max(DEBOUNCE_MS, this.#lookMs * REST_FACTOR),
        );
      },
      (error) => {
        this.#subscription = undefined;
        log.warn({ err: error }, 'the kernel’s notifications have ended; this host’s routes are looked at each minute');
      },
    );
  }

  #list(): Cidr[] {
    const startedAt = performance.now();
    const found = hostPrefixes(this.#handle.addresses(), this.#handle.routes());
    this.#lookMs = performance.now() - startedAt;
    return found;
  }

  #look(): void {
    try {
      const found = this.#list();
      if (found.join() === this.latest.value.join()) return;
      this.#options.log.info({ prefixes: found.length }, 'this host’s own subnets have changed');
      this.latest.set(found);
    } catch (error) {
      this.#options.log.warn({ err: error }, 'this host’s routes cannot be listed');
    }
  }
}
