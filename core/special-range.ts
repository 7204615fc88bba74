/** Ranges in which no interface of a network, and no tunnel, can have an address. */
import { overlaps, type Cidr, type IpAddress } from './address.js';

/**
 * As the kernel treats them: it routes nothing by a gateway in the first three of IPv4, answers 127/8 by itself in each
 * sandbox, and sends to a multicast or broadcast tunnel address once for the whole underlay. Link-local addresses mean
 * nothing without an interface, hosts take them by themselves, and Weft routes by some of them inside a network.
 */
const SPECIAL_RANGES: readonly { readonly range: string; readonly use: string }[] = [
  { range: '0.0.0.0/8', use: 'hosts that have no address yet' },
  { range: '127.0.0.0/8', use: 'loopback' },
  { range: '169.254.0.0/16', use: 'link-local addresses' },
  { range: '224.0.0.0/4', use: 'multicast' },
  { range: '255.255.255.255/32', use: 'broadcast' },
  { range: '::/96', use: 'loopback and no address' },
  { range: 'fe80::/10', use: 'link-local addresses' },
  { range: 'ff00::/8', use: 'multicast' },
];

/** Why nothing can be given an address in `value`, as the end of a sentence; undefined: it can. */
export function objectionToRange(value: IpAddress | Cidr): string | undefined {
  const cidr = (value.includes('/') ? value : `${value}/${value.includes(':') ? '128' : '32'}`) as Cidr;
  const special = SPECIAL_RANGES.find(({ range }) => overlaps(range as Cidr, cidr));
  return special === undefined ? undefined : `is in ${special.range}, which is for ${special.use}`;
}
