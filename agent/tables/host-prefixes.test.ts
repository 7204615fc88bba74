/** A host's own subnets, in a namespace that stands for a host. */
import pino from 'pino';
import { describe, expect, it } from 'vitest';
import { cidr, ip, runIn, TestNamespaces } from '../kernel/testing.js';
import { HostPrefixes, hostPrefixes } from './host-prefixes.js';
import { WEFT_PROTOCOL } from './rows.js';

const route = (dst: string, other: object = {}) => ({ dst: cidr(dst), table: 254, type: 1, protocol: 4, ...other });

describe('where a host’s routes lead', () => {
  it('is its addresses’ subnets and unicast routes, without default, loopback, link-local, multicast and Weft’s', () => {
    const addresses = [
      { ip: ip('192.0.2.7'), prefixLength: 24, protocol: 0 },
      { ip: ip('127.0.0.1'), prefixLength: 8, protocol: 0 },
      { ip: ip('fe80::1'), prefixLength: 64, protocol: 0 },
      { ip: ip('10.9.0.1'), prefixLength: 24, protocol: WEFT_PROTOCOL },
    ];
    const routes = [
      route('0.0.0.0/0'),
      route('128.0.0.0/1'),
      route('2000::/3'),
      route('10.128.5.0/24'),
      route('10.7.0.0/16', { table: 100 }),
      route('10.8.0.0/16', { type: 6 }),
      route('10.6.0.1/32', { table: 255, type: 2 }),
      route('10.5.0.0/24', { protocol: WEFT_PROTOCOL }),
      route('224.0.0.0/4'),
      route('2001:db8:5::/48'),
    ];
    expect(hostPrefixes(addresses, routes)).toEqual([
      '10.7.0.0/16',
      '10.128.5.0/24',
      '192.0.2.0/24',
      '2001:db8:5::/48',
    ]);
  });

  it('is said once: nothing inside another, halves as the whole, 256 at most', () => {
    const of = (...texts: string[]) =>
      hostPrefixes(
        [],
        texts.map((text) => route(text)),
      );
    expect(of('10.1.1.0/24', '10.1.0.0/24', '10.1.0.128/25', '10.1.2.0/23', '10.3.0.0/24')).toEqual([
      '10.1.0.0/22',
      '10.3.0.0/24',
    ]);
    expect(of('16.0.0.0/4', '0.0.0.0/4')).toEqual(['16.0.0.0/4']);
    const many = Array.from({ length: 300 }, (_, n) => `10.${String(n % 150)}.${String(n < 150 ? 1 : 4)}.0/24`);
    const found = of(...many, '172.16.0.0/12');
    expect([found.length, found.at(-1)]).toEqual([256, '172.16.0.0/12']);
  });
});

describe('looking at a host', () => {
  it('sees at once what somebody adds and takes away', async () => {
    using namespaces = new TestNamespaces();
    const netns = namespaces.make('host');
    runIn(netns, ['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1']);
    for (const dev of ['lo', 'up0', 'up1']) runIn(netns, ['ip', 'link', 'set', dev, 'up']);
    runIn(netns, ['ip', 'address', 'add', '192.0.2.7/24', 'dev', 'up0']);
    runIn(netns, ['ip', 'address', 'add', '2001:db8::7/64', 'dev', 'up0', 'nodad']);
    runIn(netns, ['ip', 'route', 'add', 'default', 'via', '192.0.2.1']);
    using host = new HostPrefixes({ netns, log: pino({ level: 'silent' }) });
    const before = ['192.0.2.0/24', '2001:db8::/64'];
    expect(host.latest.value).toEqual(before);
    const heard: string[] = [];
    host.latest.subscribe((cidrs) => heard.push(cidrs.join()));
    runIn(netns, ['ip', 'route', 'add', '10.128.5.0/24', 'via', '192.0.2.9']);
    runIn(netns, ['ip', 'route', 'add', '10.128.6.0/24', 'via', '192.0.2.9', 'table', '77']);
    await expect.poll(() => host.latest.value).toEqual(['10.128.5.0/24', '10.128.6.0/24', ...before]);
    runIn(netns, ['ip', 'route', 'del', '10.128.5.0/24']);
    runIn(netns, ['ip', 'route', 'flush', 'table', '77']);
    await expect.poll(() => host.latest.value).toEqual(before);
    // One change for all of a moment.
    expect(heard).toHaveLength(2);
  });
});
