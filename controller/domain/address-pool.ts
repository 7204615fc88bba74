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

/** A search in one subnet. */
export interface AddressSearch {
  readonly subnet: Subnet;
  readonly isHeld: (address: IpAddress) => boolean;
  /** How many addresses of the network are held, in this subnet or not; bounds the search. */
  readonly heldCount: number;
  /** The address handed out last, as a number. */
  readonly after: bigint | undefined;
}

/**
 * The next free address after the last one, wrapping around, so that an address is not used again at once: peers may
 * still have something of its last holder in a cache. Undefined only when every address is held.
 */
export function chooseAddress({ subnet, isHeld, heldCount, after }: AddressSearch): IpAddress | undefined {
  const { first, last } = rangeOf(subnet);
  const reserved = reservedOf(subnet);
  const family = familyOf(subnet.cidr);
  const size = last - first + 1n;
  // Among so many different addresses one is free, or the range is shorter and was looked through.
  const enough = BigInt(reserved.size) + BigInt(heldCount) + 1n;
  let candidate = after !== undefined && after >= first && after < last ? after + 1n : first;
  for (let tried = 0n; tried < size && tried < enough; tried += 1n) {
    if (!reserved.has(candidate)) {
      const address = ipFromNumber(family, candidate);
      if (!isHeld(address)) return address;
    }
    candidate = candidate === last ? first : candidate + 1n;
  }
  return undefined;
}

/** How many endpoints the subnet has addresses for. */
export function capacityOf(subnet: Subnet): bigint {
  const { first, last } = rangeOf(subnet);
  const reserved = [...reservedOf(subnet)].filter((number) => first <= number && number <= last);
  return last - first + 1n - BigInt(reserved.length);
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
function rangeOf({ cidr, ipRange }: Subnet): { readonly first: bigint; readonly last: bigint } {
  return boundsOf(ipRange ?? cidr);
}

/** Numbers no endpoint is ever given: network or router anycast, broadcast (IPv6 has none), gateway, auxiliary. */
function reservedOf({ cidr, gateway, auxAddresses }: Subnet): ReadonlySet<bigint> {
  const { first, last } = boundsOf(cidr);
  return new Set([
    first,
    ...(familyOf(cidr) === 4 ? [last] : []),
    ...[gateway, ...Object.values(auxAddresses)].map(ipToNumber),
  ]);
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
