import ipaddr from 'ipaddr.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  boundsOf,
  contains,
  familyOf,
  ipFromBytes,
  ipFromNumber,
  ipToBytes,
  ipToNumber,
  makeCidr,
  networkOf,
  overlaps,
  parseCidr,
  parseIp,
  prefixLengthOf,
  type IpAddress,
} from './address.js';

const anyIp = fc
  .oneof(
    fc.tuple(fc.constant(4 as const), fc.bigInt(0n, 2n ** 32n - 1n)),
    fc.tuple(fc.constant(6 as const), fc.bigInt(0n, 2n ** 128n - 1n)),
  )
  .filter(([family, number]) => family === 4 || number >> 32n !== 0xffffn)
  .map(([family, number]) => ipFromNumber(family, number));

const anyCidr = fc.tuple(anyIp, fc.nat(128)).map(([ip, bits]) => {
  const cidr = networkOf(`${ip}/${String(familyOf(ip) === 4 ? bits % 33 : bits)}`);
  if (cidr === undefined) throw new Error(`${ip} with ${String(bits)} bits makes no subnet`);
  return cidr;
});

describe('parseIp', () => {
  it.each([
    ['10.1.0.2', '10.1.0.2'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['::', '::'],
    ['0.0.0.0', '0.0.0.0'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseIp(text)).toBe(canonical);
  });

  it.each([
    '',
    '10.1',
    '999.1.1.1',
    '010.0.0.1',
    '10.0.0.1/24',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
    '1::2::3',
    ' 10.0.0.1',
  ])('refuses %j', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it('refuses a mapped IPv4 address in hexadecimal too: it would be a second name for the same address', () => {
    expect(parseIp('::ffff:a00:1')).toBeUndefined();
  });

  it('agrees with another implementation, and is canonical', () => {
    fc.assert(
      fc.property(anyIp, (ip) => {
        expect(ipaddr.parse(ip).toByteArray()).toEqual([...ipToBytes(ip)]);
        expect(parseIp(ip)).toBe(ip);
        expect(ipFromBytes(ipToBytes(ip))).toBe(ip);
        expect(ipFromNumber(familyOf(ip), ipToNumber(ip))).toBe(ip);
      }),
    );
  });
});

describe('parseCidr', () => {
  it.each([
    ['10.1.0.0/24', '10.1.0.0/24'],
    ['2001:DB8::/64', '2001:db8::/64'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('reads %s as %s', (text, canonical) => {
    expect(parseCidr(text)).toBe(canonical);
  });

  it.each([
    '10.1.0.0',
    '10.1.0.0/33',
    '2001:db8::/129',
    '10.1.0.0/-1',
    '10.1.0.0/024',
    '10.1.0.0/24/24',
    '/24',
    '10.1.0.0/',
  ])('refuses %j', (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  it('refuses host bits, which networkOf clears', () => {
    expect(parseCidr('10.1.0.9/24')).toBeUndefined();
    expect(networkOf('10.1.0.9/24')).toBe('10.1.0.0/24');
    expect(networkOf('2001:db8::9/64')).toBe('2001:db8::/64');
  });
});

describe('subnets', () => {
  it('hold exactly what lies between their bounds', () => {
    fc.assert(
      fc.property(anyCidr, anyIp, (cidr, ip) => {
        const { first, last } = boundsOf(cidr);
        const number = ipToNumber(ip);
        expect(contains(cidr, ip)).toBe(familyOf(cidr) === familyOf(ip) && first <= number && number <= last);
        expect(contains(cidr, ipFromNumber(familyOf(cidr), first))).toBe(true);
        expect(contains(cidr, ipFromNumber(familyOf(cidr), last))).toBe(true);
      }),
    );
  });

  it('overlap when one holds the other, either way round', () => {
    fc.assert(
      fc.property(anyCidr, anyCidr, (a, b) => {
        expect(overlaps(a, b)).toBe(contains(a, b) || contains(b, a));
        expect(overlaps(a, b)).toBe(overlaps(b, a));
      }),
    );
  });

  it('are made from a first address and a length', () => {
    const cidr = makeCidr(4, ipToNumber('10.1.0.0' as IpAddress), 24);
    expect(cidr).toBe('10.1.0.0/24');
    expect(prefixLengthOf(cidr)).toBe(24);
  });
});

describe('bytes and numbers', () => {
  it('refuses other lengths and ranges', () => {
    expect(() => ipFromBytes(new Uint8Array(5))).toThrow(RangeError);
    expect(() => ipFromNumber(4, 2n ** 32n)).toThrow(RangeError);
    expect(() => ipFromNumber(6, -1n)).toThrow(RangeError);
  });
});
