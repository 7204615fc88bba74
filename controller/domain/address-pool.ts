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
  const { first, last, reserved } = choiceOf(subnet);
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
  const { first, last, reserved } = choiceOf(subnet);
  return last - first + 1n - BigInt([...reserved].filter((number) => first <= number && number <= last).length);
}

/** How many of a set of addresses are such that an endpoint that names none could be given them. */
export function choosableOf(subnet: Subnet, addresses: Occupied): number {
  const { first, last, reserved } = choiceOf(subnet);
  const kept = [...reserved].filter((number) => first <= number && number <= last);
  return addresses.countIn(first, last) - kept.filter((number) => addresses.nextFree(number, number) !== number).length;
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

/** What there is to choose from in a subnet, as numbers. */
interface Choice {
  /** Both included. */
  readonly first: bigint;
  readonly last: bigint;
  /** Never given to an endpoint: network or router anycast, broadcast (IPv6 has none), gateway, auxiliary. */
  readonly reserved: ReadonlySet<bigint>;
}

/** Worked out once for each version of a network. */
const CHOICES = new WeakMap<Subnet, Choice>();

function choiceOf(subnet: Subnet): Choice {
  const known = CHOICES.get(subnet);
  if (known !== undefined) return known;
  const { cidr, gateway, ipRange, auxAddresses } = subnet;
  const ends = boundsOf(cidr);
  const reserved = new Set([
    ends.first,
    ...(familyOf(cidr) === 4 ? [ends.last] : []),
    ...[gateway, ...Object.values(auxAddresses)].map(ipToNumber),
  ]);
  const choice = { ...boundsOf(ipRange ?? cidr), reserved };
  CHOICES.set(subnet, choice);
  return choice;
}

/** Where addresses are chosen from, both ends included. */
export function rangeOf(subnet: Subnet): { readonly first: bigint; readonly last: bigint } {
  const { first, last } = choiceOf(subnet);
  return { first, last };
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
