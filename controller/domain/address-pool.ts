/** Which address of a subnet the next endpoint gets. Pure arithmetic on ranges; who holds what is asked for. */
import {
  boundsOf,
  contains,
  familyOf,
  ipFromNumber,
  ipToNumber,
  networkAddressOf,
  type IpAddress,
} from '../../core/address.js';
import type { Subnet } from '../../core/model.js';
import type { Occupied } from '../cache/address-set.js';

/** A search in one subnet. */
export interface AddressSearch {
  readonly subnet: Subnet;
  /** Addresses that are held, or rest. */
  readonly taken: Occupied;
  /** The address handed out last, as a number. */
  readonly after: bigint | undefined;
}

/**
 * The next free address after the last one, wrapping around, so that an address is not used again at once: peers may
 * still have something of its last holder in a cache. Undefined only when every address is held.
 */
export function chooseAddress({ subnet, taken, after }: AddressSearch): IpAddress | undefined {
  const { first, last } = rangeOf(subnet);
  const reserved = reservedOf(subnet);
  const search = (from: bigint): bigint | undefined => {
    let found = taken.nextFree(from, last);
    while (found !== undefined && reserved.has(found)) found = taken.nextFree(found + 1n, last);
    return found;
  };
  const onward = after !== undefined && after >= first && after < last ? search(after + 1n) : undefined;
  const found = onward ?? search(first);
  return found === undefined ? undefined : ipFromNumber(familyOf(subnet.cidr), found);
}

/** How many endpoints the subnet has addresses for. */
export function capacityOf(subnet: Subnet): bigint {
  const { first, last } = rangeOf(subnet);
  const reserved = [...reservedOf(subnet)].filter((number) => first <= number && number <= last);
  return last - first + 1n - BigInt(reserved.length);
}

/** Whether an endpoint that names no address may be given this one. */
export function isChoosable(subnet: Subnet, address: IpAddress): boolean {
  const { first, last } = rangeOf(subnet);
  const number = ipToNumber(address);
  return (
    familyOf(address) === familyOf(subnet.cidr) && first <= number && number <= last && !reservedOf(subnet).has(number)
  );
}

/** Why an endpoint cannot have this address of the subnet, whoever else has it; undefined: it can. */
export function objectionTo(subnet: Subnet, address: IpAddress): string | undefined {
  const { cidr, gateway, auxAddresses } = subnet;
  const number = ipToNumber(address);
  const { first, last } = boundsOf(cidr);
  if (!contains(cidr, address)) return `${address} is not in ${cidr}`;
  if (address === gateway) return `${address} is the gateway of ${cidr}`;
  if (number === first) {
    return familyOf(cidr) === 4
      ? `${address} is the network address of ${cidr}`
      : `${address} is the router anycast address of ${cidr}`;
  }
  if (number === last && familyOf(cidr) === 4) return `${address} is the broadcast address of ${cidr}`;
  const aux = Object.entries(auxAddresses).find(([, each]) => each === address)?.[0];
  return aux === undefined ? undefined : `${address} is kept as auxiliary address ${JSON.stringify(aux)}`;
}

/** Where addresses are chosen from, both ends included. */
export function rangeOf({ cidr, ipRange }: Subnet): { readonly first: bigint; readonly last: bigint } {
  return boundsOf(ipRange ?? cidr);
}

/** Worked out once for each version of a network. */
const RESERVED = new WeakMap<Subnet, ReadonlySet<bigint>>();

/** Numbers no endpoint is ever given: network or router anycast, broadcast (IPv6 has none), gateway, auxiliary. */
function reservedOf(subnet: Subnet): ReadonlySet<bigint> {
  const known = RESERVED.get(subnet);
  if (known !== undefined) return known;
  const { cidr, gateway, auxAddresses } = subnet;
  const { first, last } = boundsOf(cidr);
  const numbers = new Set([
    first,
    ...(familyOf(cidr) === 4 ? [last] : []),
    ...[gateway, ...Object.values(auxAddresses)].map(ipToNumber),
  ]);
  RESERVED.set(subnet, numbers);
  return numbers;
}

/** The gateway where none is named: the first address of the subnet that is not kept for others. */
export function defaultGateway(cidr: Subnet['cidr'], auxAddresses: Subnet['auxAddresses']): IpAddress | undefined {
  const kept = new Set(Object.values(auxAddresses).map(ipToNumber));
  const { last } = boundsOf(cidr);
  const end = familyOf(cidr) === 4 ? last - 1n : last;
  for (let number = ipToNumber(networkAddressOf(cidr)) + 1n; number <= end; number += 1n) {
    if (!kept.has(number)) return ipFromNumber(familyOf(cidr), number);
  }
  return undefined;
}
