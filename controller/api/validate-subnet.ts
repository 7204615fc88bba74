/** Reading the subnets that a network is to have. */
import {
  boundsOf,
  contains,
  familyOf,
  ipToNumber,
  overlaps,
  prefixLengthOf,
  type Cidr,
  type IpAddress,
} from '../../core/address.js';
import { objectionToRange } from '../../core/special-range.js';
import type { SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { defaultGateway } from '../domain/address-pool.js';
import type { SubnetWish } from '../domain/network.js';
import { SUBNET_PREFIXES } from '../domain/subnet-pool.js';
import { quote, type Checker } from './validate.js';

/** The subnets of a request, each sound in itself and none overlapping another; those that are not are noted. */
export function readSubnets(check: Checker, requests: readonly SubnetRequest[]): readonly SubnetWish[] {
  const read = check
    .bounded('subnets', 'subnets', requests)
    .map((subnet, index) => readSubnet(check, `subnets[${String(index)}]`, subnet));
  refuseOverlaps(check, read);
  return read.filter((subnet) => subnet !== undefined);
}

function readSubnet(check: Checker, field: string, request: SubnetRequest): SubnetWish | undefined {
  const cidr = check.cidr(`${field}.cidr`, request.cidr);
  const gateway = request.gateway === '' ? undefined : check.ip(`${field}.gateway`, request.gateway);
  const ipRange = request.ipRange === '' ? undefined : check.cidr(`${field}.ip_range`, request.ipRange);
  const auxAddresses = readAuxAddresses(check, `${field}.aux_addresses`, request.auxAddresses);
  if (cidr === undefined) return undefined;
  const { shortest, longest } = SUBNET_PREFIXES[familyOf(cidr)];
  const prefix = prefixLengthOf(cidr);
  if (prefix < shortest || prefix > longest) {
    const family = `IPv${String(familyOf(cidr))}`;
    check.refuse(
      `${field}.cidr`,
      `${cidr}: an ${family} subnet has a prefix length from ${String(shortest)} to ${String(longest)}`,
    );
    return undefined;
  }
  const objection = objectionToRange(cidr);
  if (objection !== undefined) check.refuse(`${field}.cidr`, `${cidr} ${objection}`);
  if (gateway !== undefined) refuseUnusable(check, `${field}.gateway`, { cidr, address: gateway, what: 'gateway' });
  if (ipRange !== undefined && !contains(cidr, ipRange)) {
    check.refuse(`${field}.ip_range`, `${ipRange} is not inside ${cidr}`);
  }
  for (const [name, address] of Object.entries(auxAddresses)) {
    const at = `${field}.aux_addresses[${quote(name)}]`;
    refuseUnusable(check, at, { cidr, address, what: 'auxiliary address' });
    if (address === gateway) check.refuse(at, `${address} is the gateway`);
  }
  if (gateway === undefined && defaultGateway(cidr, auxAddresses) === undefined) {
    check.refuse(`${field}.aux_addresses`, `they leave no address of ${cidr} for the gateway`);
  }
  return { cidr, gateway, ipRange, auxAddresses };
}

function readAuxAddresses(check: Checker, field: string, entries: Record<string, string>): Record<string, IpAddress> {
  const addresses: [string, IpAddress][] = [];
  for (const [name, text] of check.bounded(field, 'entries', Object.entries(entries))) {
    const at = `${field}[${quote(name)}]`;
    check.name(at, name);
    const address = check.ip(at, text);
    if (address === undefined) continue;
    const twin = addresses.find(([, each]) => each === address)?.[0];
    if (twin !== undefined) check.refuse(at, `${address} is ${quote(twin)} already`);
    addresses.push([name, address]);
  }
  return Object.fromEntries(addresses);
}

/** Refuses what no interface of the subnet may have. */
function refuseUnusable(
  check: Checker,
  field: string,
  { cidr, address, what }: { readonly cidr: Cidr; readonly address: IpAddress; readonly what: string },
): void {
  const { first, last } = boundsOf(cidr);
  if (!contains(cidr, address)) {
    check.refuse(field, `${what} ${address} is not inside ${cidr}`);
  } else if (ipToNumber(address) === first) {
    const role = familyOf(cidr) === 4 ? 'network address' : 'router anycast address';
    check.refuse(field, `${what} ${address} is the ${role} of ${cidr}`);
  } else if (familyOf(cidr) === 4 && ipToNumber(address) === last) {
    check.refuse(field, `${what} ${address} is the broadcast address of ${cidr}`);
  }
}

/** Those that could not be read are undefined: the others keep their places in the request. */
function refuseOverlaps(check: Checker, subnets: readonly (SubnetWish | undefined)[]): void {
  for (const [index, subnet] of subnets.entries()) {
    if (subnet === undefined) continue;
    const { cidr } = subnet;
    const other = subnets.slice(0, index).find((each) => each !== undefined && overlaps(each.cidr, cidr));
    if (other !== undefined) check.refuse(`subnets[${String(index)}].cidr`, `${cidr} overlaps ${other.cidr}`);
  }
}
