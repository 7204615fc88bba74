/** Reading the request for a network. */
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
import { isUuid, newNetworkId } from '../../core/ids.js';
import { objectionToRange } from '../../core/special-range.js';
import type { CreateNetworkRequest, SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { defaultGateway } from '../domain/address-pool.js';
import type { CreateNetwork, SubnetWish } from '../domain/network.js';
import { SUBNET_PREFIXES } from '../domain/subnet-pool.js';
import { Checker, quote } from './validate.js';

/** Networks every host has by itself; nobody makes them. */
export const PREDEFINED_NETWORKS: readonly string[] = ['bridge', 'host', 'none'];

/** Drivers and driver options that are known, and not there yet. */
const DRIVERS_NOT_BUILT: readonly string[] = ['bridge', 'macvlan'];
const OPTIONS_NOT_BUILT: readonly string[] = ['encrypted', 'multicast', 'parent'];

/** Every IPv6 link carries 1280 bytes (RFC 8200), every IPv4 host takes 576 (RFC 791). */
const MTU_MIN = { ipv4: 576, ipv6: 1_280 } as const;
const MTU_MAX = 65_535;

/** The command in a request. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseCreateNetwork(request: CreateNetworkRequest): CreateNetwork {
  const check = new Checker();
  const { name, ipv6, internal } = request;
  check.name('name', name);
  if (PREDEFINED_NETWORKS.includes(name.toLowerCase())) {
    check.refuse('name', `${quote(name)} is predefined on every host; choose another name`);
  } else if (isUuid(name)) {
    check.refuse('name', `${quote(name)} looks like an id; choose another name`);
  }
  const id = check.id('id', request.id, newNetworkId);
  readDriver(check, request.driver);
  const read = check
    .bounded('subnets', 'subnets', request.subnets)
    .map((subnet, index) => readSubnet(check, `subnets[${String(index)}]`, subnet));
  refuseOverlaps(check, read);
  const subnets = read.filter((subnet) => subnet !== undefined);
  const labels = check.labels('labels', request.labels);
  const hasIpv6 = ipv6 || subnets.some(({ cidr }) => familyOf(cidr) === 6);
  const mtu = readOptions(check, request.options, hasIpv6);
  check.done();
  return { id, name, driver: 'overlay', subnets, ipv6, internal, mtu, labels, options: request.options };
}

function readDriver(check: Checker, driver: string): void {
  if (driver === '' || driver === 'overlay') return;
  if (DRIVERS_NOT_BUILT.includes(driver))
    check.notBuilt('driver', `${quote(driver)} is not built yet; there is overlay`);
  else check.refuse('driver', `there is no driver ${quote(driver)}; there is overlay`);
}

function readOptions(check: Checker, options: Record<string, string>, hasIpv6: boolean): number | undefined {
  let mtu: number | undefined;
  for (const [key, value] of check.bounded('options', 'entries', Object.entries(options))) {
    const field = `options[${quote(key)}]`;
    if (key === 'mtu') {
      const min = hasIpv6 ? MTU_MIN.ipv6 : MTU_MIN.ipv4;
      mtu = /^[1-9]\d{0,5}$/.test(value) ? Number(value) : undefined;
      if (mtu === undefined || mtu < min || mtu > MTU_MAX) {
        const because = hasIpv6 ? ' in a network with IPv6' : '';
        check.refuse(field, `${quote(value)} is no MTU: expected ${String(min)} to ${String(MTU_MAX)}${because}`);
      }
    } else if (OPTIONS_NOT_BUILT.includes(key)) {
      check.notBuilt(field, `option ${key} is not built yet`);
    } else {
      check.refuse(field, `there is no option ${quote(key)}; there is mtu`);
    }
  }
  return mtu;
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
