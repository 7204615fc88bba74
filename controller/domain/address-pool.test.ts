import { describe, expect, it } from 'vitest';
import { ipToNumber, parseCidr, parseIp, type IpAddress } from '../../core/address.js';
import type { Subnet } from '../../core/model.js';
import { AddressSet } from '../cache/address-set.js';
import { capacityOf, chooseAddress, defaultGateway, objectionTo } from './address-pool.js';

const ip = (text: string): IpAddress => {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`no address: ${text}`);
  return address;
};
const cidr = (text: string) => {
  const subnet = parseCidr(text);
  if (subnet === undefined) throw new Error(`no subnet: ${text}`);
  return subnet;
};
const subnet = (
  range: string,
  gateway: string,
  more: { ipRange?: string; aux?: Record<string, string> } = {},
): Subnet => ({
  cidr: cidr(range),
  gateway: ip(gateway),
  ipRange: more.ipRange === undefined ? undefined : cidr(more.ipRange),
  auxAddresses: Object.fromEntries(Object.entries(more.aux ?? {}).map(([name, text]) => [name, ip(text)])),
});

function taken(...addresses: readonly string[]): AddressSet {
  const set = new AddressSet();
  for (const address of addresses) set.add(ipToNumber(ip(address)));
  return set;
}

/** Takes addresses until there are none, each after the last. */
function takeAll(from: Subnet): string[] {
  const found: string[] = [];
  const taken = new AddressSet();
  for (;;) {
    const next = chooseAddress({ subnet: from, taken, after: undefined });
    if (next === undefined) return found;
    found.push(next);
    taken.add(ipToNumber(next));
  }
}

describe('choosing an address', () => {
  it.each([
    ['a /30', subnet('10.1.0.0/30', '10.1.0.1'), ['10.1.0.2']],
    ['a /30 with its gateway at the end', subnet('10.1.0.0/30', '10.1.0.2'), ['10.1.0.1']],
    [
      'a /29 with a range',
      subnet('10.1.0.0/29', '10.1.0.1', { ipRange: '10.1.0.4/30' }),
      ['10.1.0.4', '10.1.0.5', '10.1.0.6'],
    ],
    [
      'a /29 with auxiliary addresses',
      subnet('10.1.0.0/29', '10.1.0.1', { aux: { router: '10.1.0.3', printer: '10.1.0.5' } }),
      ['10.1.0.2', '10.1.0.4', '10.1.0.6'],
    ],
    ['a range of nothing but the gateway', subnet('10.1.0.0/24', '10.1.0.1', { ipRange: '10.1.0.1/32' }), []],
    [
      'an IPv6 /126, whose last address is one like any other',
      subnet('2001:db8::/126', '2001:db8::1'),
      ['2001:db8::2', '2001:db8::3'],
    ],
  ])('hands out exactly the usable ones of %s', (_, from, usable) => {
    expect(takeAll(from)).toEqual(usable);
    expect(capacityOf(from)).toBe(BigInt(usable.length));
  });

  it('goes on after the last one, and around the end', () => {
    const from = subnet('10.1.0.0/29', '10.1.0.1');
    const next = (after: string | undefined, ...held: string[]) =>
      chooseAddress({
        ...{ subnet: from, taken: taken(...held) },
        after: after === undefined ? undefined : BigInt(after),
      });
    const number = (last: number) => String(0x0a010000 + last);
    expect(next(undefined)).toBe('10.1.0.2');
    expect(next(number(3))).toBe('10.1.0.4');
    expect(next(number(6))).toBe('10.1.0.2');
    expect(next(number(6), '10.1.0.2')).toBe('10.1.0.3');
    expect(next(number(4), '10.1.0.5', '10.1.0.6', '10.1.0.2')).toBe('10.1.0.3');
    // Of another subnet, or past a range that became smaller: it begins anew.
    expect(next('1')).toBe('10.1.0.2');
  });

  it('finds the one free address of a large subnet', () => {
    const from = subnet('10.1.0.0/20', '10.1.0.1');
    const held = takeAll(from);
    expect(held).toHaveLength(4093);
    const others = taken(...held.filter((each) => each !== '10.1.9.9'));
    const found = chooseAddress({ subnet: from, taken: others, after: 0x0a010909n });
    expect(found).toBe('10.1.9.9');
  });

  it('needs no search in an empty IPv6 subnet', () => {
    const from = subnet('fd00::/64', 'fd00::1');
    expect(chooseAddress({ subnet: from, taken: taken(), after: undefined })).toBe('fd00::2');
    expect(capacityOf(from)).toBe(2n ** 64n - 2n);
  });
});

describe('objections to an address', () => {
  const v4 = subnet('10.1.0.0/24', '10.1.0.1', { ipRange: '10.1.0.128/25', aux: { router: '10.1.0.9' } });
  const v6 = subnet('2001:db8::/64', '2001:db8::1');
  it.each([
    [v4, '10.2.0.1', 'not in'],
    [v4, '10.1.0.1', 'gateway'],
    [v4, '10.1.0.0', 'network address'],
    [v4, '10.1.0.255', 'broadcast'],
    [v4, '10.1.0.9', '"router"'],
    [v6, '2001:db8::', 'router anycast'],
    // Outside the range, asked for by name: as with Docker, it is had.
    [v4, '10.1.0.2', undefined],
    [v6, '2001:db8::ffff:ffff:ffff:ffff', undefined],
  ])('%#: %o %s', (from, text, objection) => {
    if (objection === undefined) expect(objectionTo(from, ip(text))).toBeUndefined();
    else expect(objectionTo(from, ip(text))).toContain(objection);
  });
});

describe('the gateway where none is named', () => {
  it.each([
    ['10.1.0.0/24', {}, '10.1.0.1'],
    ['10.1.0.0/24', { a: '10.1.0.1', b: '10.1.0.2' }, '10.1.0.3'],
    ['2001:db8::/64', {}, '2001:db8::1'],
    ['10.1.0.0/30', { a: '10.1.0.1', b: '10.1.0.2' }, undefined],
  ])('of %s beside %o', (range, aux, gateway) => {
    const kept = Object.fromEntries(Object.entries(aux).map(([name, text]) => [name, ip(text)]));
    expect(defaultGateway(cidr(range), kept)).toBe(gateway);
  });
});
