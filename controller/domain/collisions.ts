/** Subnets of networks that hosts have addresses or routes of their own in. Such come to be after a subnet was chosen. */
import { boundsOf, familyOf, ipToNumber, type Cidr, type IpAddress } from '../../core/address.js';
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

interface Placed extends Interval {
  readonly network: Network;
  readonly subnet: Cidr;
  /** The highest end of this one and all before it. */
  readonly reach: bigint;
}

/** Those of some hosts, in the order of the hosts. */
export function collisionsOf(view: View, hosts: Iterable<Host>): readonly Collision[] {
  const placed = { 4: placedSubnets(view, 4), 6: placedSubnets(view, 6) };
  const found = new Map<string, readonly Placed[]>();
  return [...hosts].flatMap((host) =>
    [...new Set<Cidr | IpAddress>([...host.prefixes, host.vtep])].flatMap((own) => {
      // Hosts of one site say much the same.
      const inTheWay = found.get(own) ?? overlapping(placed[familyOf(own)], intervalOf(own));
      found.set(own, inTheWay);
      return inTheWay.map(({ network, subnet }) => ({ host, own, network, subnet }));
    }),
  );
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

/** By where they begin. */
function placedSubnets(view: View, family: 4 | 6): readonly Placed[] {
  const all = [...view.networks.values()].flatMap((network) =>
    network.subnets
      .filter(({ cidr }) => familyOf(cidr) === family)
      .map(({ cidr }) => ({ ...boundsOf(cidr), network, subnet: cidr })),
  );
  all.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  let reach = 0n;
  return all.map((each) => {
    if (each.last > reach) reach = each.last;
    return { ...each, reach };
  });
}

function overlapping(placed: readonly Placed[], { first, last }: Interval): readonly Placed[] {
  const found: Placed[] = [];
  for (let index = countBegunBy(placed, last) - 1; index >= 0; index -= 1) {
    const each = placed[index];
    if (each === undefined || each.reach < first) break;
    if (each.last >= first) found.push(each);
  }
  return found.reverse();
}

/** How many begin at `number` or before. */
function countBegunBy(placed: readonly Placed[], number: bigint): number {
  let low = 0;
  let high = placed.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((placed[middle]?.first ?? 0n) <= number) low = middle + 1;
    else high = middle;
  }
  return low;
}

function intervalOf(own: Cidr | IpAddress): Interval {
  if (own.includes('/')) return boundsOf(own as Cidr);
  const number = ipToNumber(own as IpAddress);
  return { first: number, last: number };
}
