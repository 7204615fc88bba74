/** Subnets of networks that hosts have addresses or routes of their own in. Such come to be after a subnet was chosen. */
import { boundsOf, familyOf, ipToNumber, type Cidr, type Family, type IpAddress } from '../../core/address.js';
import type { Host, Network } from '../../core/model.js';
import type { View } from '../cache/view.js';

/** One subnet, and what of a host is in its way. */
export interface Collision {
  readonly host: Host;
  /** A subnet that the host's own interfaces and routes lead to, or its tunnel address. */
  readonly own: Cidr | IpAddress;
  readonly network: Network;
  readonly subnet: Cidr;
}

interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** A piece of address space that is some network's subnet, or that of several. Two are one in the other, or apart. */
interface Span extends Interval {
  readonly held: readonly { readonly network: Network; readonly subnet: Cidr }[];
  /** The narrowest that this one lies in; -1: in none. */
  readonly around: number;
}

/** The subnets of all networks at one revision, by where they lie. */
export class NetworkSubnets {
  readonly #spans: Readonly<Record<Family, readonly Span[]>>;
  /** What nothing is in the way of. Hosts of one site say much the same. */
  readonly #clear = new Set<Cidr | IpAddress>();
  #compared = 0;

  constructor({ networks }: View) {
    const held: Record<Family, Map<Cidr, { network: Network; subnet: Cidr }[]>> = { 4: new Map(), 6: new Map() };
    for (const network of networks.values()) {
      for (const { cidr } of network.subnets) {
        const family = held[familyOf(cidr)];
        const those = family.get(cidr);
        if (those === undefined) family.set(cidr, [{ network, subnet: cidr }]);
        else those.push({ network, subnet: cidr });
      }
    }
    this.#spans = { 4: this.#place(held[4]), 6: this.#place(held[6]) };
  }

  /** How often two places were compared until now: what all this has cost. */
  get compared(): number {
    return this.#compared;
  }

  /** The first `limit` collisions with a host. Costs what it finds, and the search for where to begin. */
  collisionsOf(host: Host, limit: number): readonly Collision[] {
    const found: Collision[] = [];
    for (const own of new Set<Cidr | IpAddress>([...host.prefixes, host.vtep])) {
      if (found.length >= limit) break;
      if (this.#clear.has(own)) continue;
      const inTheWay = this.#overlapping(own, limit - found.length);
      if (inTheWay.length === 0) this.#clear.add(own);
      for (const { network, subnet } of inTheWay) found.push({ host, own, network, subnet });
    }
    return found;
  }

  /** By where they begin; of those that begin at one place the widest first. */
  #place(held: ReadonlyMap<Cidr, Span['held']>): readonly Span[] {
    const all = [...held].map(([cidr, those]) => ({ ...boundsOf(cidr), held: those }));
    all.sort((a, b) => {
      this.#compared += 1;
      if (a.first !== b.first) return a.first < b.first ? -1 : 1;
      return a.last > b.last ? -1 : 1;
    });
    const spans: Span[] = [];
    for (const [index, each] of all.entries()) {
      spans.push({ ...each, around: this.#around(spans, index - 1, each.first) });
    }
    return spans;
  }

  /** The narrowest of those from `index` outwards that an address lies in, when it does not lie before where they begin. */
  #around(spans: readonly Span[], index: number, address: bigint): number {
    let at = index;
    for (let span = spans[at]; span !== undefined; span = spans[at]) {
      this.#compared += 1;
      if (span.last >= address) return at;
      at = span.around;
    }
    return -1;
  }

  #overlapping(own: Cidr | IpAddress, limit: number): Span['held'] {
    const spans = this.#spans[familyOf(own)];
    const { first, last } = intervalOf(own);
    const inside = this.#countBegunBy(spans, first);
    const around: Span[] = [];
    let at = this.#around(spans, inside - 1, first);
    for (let span = spans[at]; span !== undefined; span = spans[at]) {
      around.unshift(span);
      at = span.around;
    }
    const found = around.flatMap(({ held }) => held);
    for (let index = inside; found.length < limit; index += 1) {
      const span = spans[index];
      this.#compared += 1;
      if (span === undefined || span.first > last) break;
      found.push(...span.held);
    }
    return found.slice(0, limit);
  }

  /** How many begin at `number` or before. */
  #countBegunBy(spans: readonly Span[], number: bigint): number {
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      this.#compared += 1;
      if ((spans[middle]?.first ?? 0n) <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What it is and what to do, without the host's name: `route 10.1.0.0/16` overlaps ... */
export function describeCollision({ own, network, subnet }: Collision): {
  readonly object: string;
  readonly message: string;
} {
  return {
    object: own.includes('/') ? `route ${own}` : `tunnel address ${own}`,
    message:
      `overlaps network ${network.name} (${subnet}): sandboxes of that network do not reach what the host has there; ` +
      'give the network another subnet, or the host another route',
  };
}

function intervalOf(own: Cidr | IpAddress): Interval {
  if (own.includes('/')) return boundsOf(own as Cidr);
  const number = ipToNumber(own as IpAddress);
  return { first: number, last: number };
}
