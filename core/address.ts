/**
 * IP addresses and subnets as branded, canonical text: IPv4 and IPv6 by one path.
 *
 * Text, because it is at once the map key, the wire form and what a person reads; canonical, so that equal
 * addresses are equal strings. Arithmetic goes through bigint.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { parseIp as parseNumber, stringifyIp } from 'ip-bigint';

/** An IP family, by its version number. */
export type Family = 4 | 6;

/** An address in canonical text: `10.1.0.2`, `2001:db8::1`. Made only by the functions of this file. */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

/** A subnet in canonical text without host bits: `10.1.0.0/24`. Made only by the functions of this file. */
export type Cidr = string & { readonly __brand: 'Cidr' };

/** Address bits of each family. */
export const ADDRESS_BITS: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

/** Both families, for code that treats them as data. */
export const FAMILIES: readonly Family[] = [4, 6];

/** The address in `text`, canonical; undefined when it is none (a zone, a mapped IPv4 and a short form are none). */
export function parseIp(text: string): IpAddress | undefined {
  // ip-bigint does not validate (999.1.1.1 becomes 231.1.1.1), so node:net decides first.
  if (isIPv4(text)) return text as IpAddress;
  if (!isIPv6(text) || text.includes('%') || text.includes('.')) return undefined;
  const { number } = parseNumber(text);
  return number >> 32n === 0xffffn ? undefined : ipFromNumber(6, number);
}

/** The family of an address or a subnet. */
export function familyOf(value: IpAddress | Cidr): Family {
  return value.includes(':') ? 6 : 4;
}

/** The address as an unsigned number. */
export function ipToNumber(ip: IpAddress): bigint {
  return parseNumber(ip).number;
}

/** The address with this number; the number must fit its family. */
export function ipFromNumber(family: Family, number: bigint): IpAddress {
  if (number < 0n || number >= 1n << BigInt(ADDRESS_BITS[family])) {
    throw new RangeError(`${String(number)} is no IPv${String(family)} address`);
  }
  return stringifyIp({ number, version: family }) as IpAddress;
}

/** The address in network byte order: 4 or 16 bytes. */
export function ipToBytes(ip: IpAddress): Buffer {
  const size = ADDRESS_BITS[familyOf(ip)] / 8;
  return Buffer.from(
    ipToNumber(ip)
      .toString(16)
      .padStart(size * 2, '0'),
    'hex',
  );
}

/** The address in `bytes` (4 or 16 of them, network order). Throws RangeError for any other length. */
export function ipFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new RangeError(`an address has 4 or 16 bytes, not ${String(bytes.length)}`);
  }
  return ipFromNumber(bytes.length === 4 ? 4 : 6, BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
}

/** The subnet in `text`, canonical; undefined when it is none, or when host bits are set (see `networkOf`). */
export function parseCidr(text: string): Cidr | undefined {
  const network = networkOf(text);
  if (network === undefined) return undefined;
  const address = parseIp(text.slice(0, text.indexOf('/')));
  return address !== undefined && network.startsWith(`${address}/`) ? network : undefined;
}

/** The subnet that `text` (an address with a prefix length) lies in, host bits cleared: `10.1.0.9/24` is in `10.1.0.0/24`. */
export function networkOf(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  if (ip === undefined) return undefined;
  const family = familyOf(ip);
  const prefix = Number(match?.[2]);
  if (prefix > ADDRESS_BITS[family]) return undefined;
  const hostBits = BigInt(ADDRESS_BITS[family] - prefix);
  return makeCidr(family, (ipToNumber(ip) >> hostBits) << hostBits, prefix);
}

/** The subnet that starts at `first`. The caller has cleared the host bits. */
export function makeCidr(family: Family, first: bigint, prefixLength: number): Cidr {
  return `${ipFromNumber(family, first)}/${String(prefixLength)}` as Cidr;
}

/** The number behind the slash. */
export function prefixLengthOf(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** The address before the slash. */
export function networkAddressOf(cidr: Cidr): IpAddress {
  return cidr.slice(0, cidr.indexOf('/')) as IpAddress;
}

/** First and last address of the subnet, both part of it. */
export function boundsOf(cidr: Cidr): { readonly first: bigint; readonly last: bigint } {
  const first = ipToNumber(networkAddressOf(cidr));
  const size = 1n << BigInt(ADDRESS_BITS[familyOf(cidr)] - prefixLengthOf(cidr));
  return { first, last: first + size - 1n };
}

/** Whether the address, or the whole subnet, lies in `cidr`. */
export function contains(cidr: Cidr, inner: IpAddress | Cidr): boolean {
  if (familyOf(cidr) !== familyOf(inner)) return false;
  const outer = boundsOf(cidr);
  const { first, last } = inner.includes('/')
    ? boundsOf(inner as Cidr)
    : { first: ipToNumber(inner as IpAddress), last: ipToNumber(inner as IpAddress) };
  return outer.first <= first && last <= outer.last;
}

/** Whether two subnets share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return prefixLengthOf(a) <= prefixLengthOf(b) ? contains(a, b) : contains(b, a);
}
