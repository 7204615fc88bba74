import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { overlaps, parseCidr, parseIp, type Cidr } from '../../core/address.js';
import { newHostId, newNetworkId } from '../../core/ids.js';
import { PRESENT, type Host, type Network } from '../../core/model.js';
import { ClusterView } from '../cache/view.js';
import { NetworkSubnets } from '../domain/collisions.js';
import type { EtcdReport } from '../etcd/etcd-status.js';
import { NO_ETCD } from '../testing.js';
import { etcdWarnings } from '../etcd/etcd-warnings.js';
import { clusterWarnings } from './warnings.js';

const readCidr = (text: string): Cidr => {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new RangeError(text);
  return cidr;
};

function network(name: string, cidrs: readonly string[], vni: number): Network {
  const gateway = parseIp('10.0.0.1') ?? parseIp('::1');
  if (gateway === undefined) throw new RangeError('no gateway');
  return {
    ...{ id: newNetworkId(), name, driver: 'overlay', vni, internal: false, mtu: undefined, labels: {}, options: {} },
    subnets: cidrs.map((cidr) => ({ cidr: readCidr(cidr), gateway, ipRange: undefined, auxAddresses: {} })),
    ...{ revision: 1n, requestId: '', createTimeMs: 0 },
  };
}

function host(name: string, number: number, prefixes: readonly string[] = []): Host {
  const vtep = parseIp(`192.0.2.${String(number)}`);
  if (vtep === undefined) throw new RangeError(name);
  return {
    ...{ id: newHostId(), name, number, vtep, version: '1', declaredEpoch: '', ...PRESENT, revision: 1n },
    prefixes: prefixes.map(readCidr),
  };
}

function viewOf(networks: readonly Network[], hosts: readonly Host[]): ClusterView {
  const view = new ClusterView();
  view.apply(1n, [
    ...networks.map((value) => ({ kind: 'put', object: { kind: 'network', value } }) as const),
    ...hosts.map((value) => ({ kind: 'put', object: { kind: 'host', value } }) as const),
  ]);
  return view;
}

describe('collisions', () => {
  const networks = [
    network('wide', ['10.0.0.0/8'], 4_096),
    network('blue', ['10.1.2.0/24', 'fd00:1::/64'], 4_097),
    network('green', ['172.20.0.0/16'], 4_098),
    network('tunnel', ['192.0.2.0/28'], 4_099),
  ];
  it.each([
    ['nothing', ['203.0.113.0/24'], []],
    ['one inside and one around', ['10.1.2.128/25'], ['wide 10.0.0.0/8', 'blue 10.1.2.0/24']],
    ['the last address', ['172.20.255.255/32'], ['green 172.20.0.0/16']],
    ['just beside', ['172.21.0.0/16', '172.19.0.0/16'], []],
    ['IPv6', ['fd00:1::/48'], ['blue fd00:1::/64']],
    ['both', ['172.16.0.0/12', 'fd00:1::/64'], ['green 172.20.0.0/16', 'blue fd00:1::/64']],
  ])('are found: %s', (_, prefixes, found) => {
    const one = host('h1', 200, prefixes);
    const collisions = new NetworkSubnets(viewOf(networks, [one])).collisionsOf(one, 10);
    expect(collisions.map((each) => `${each.network.name} ${each.subnet}`)).toEqual(found);
  });

  it('are found for a tunnel address', () => {
    const one = host('h1', 7);
    const [found] = new NetworkSubnets(viewOf(networks, [one])).collisionsOf(one, 10);
    expect(found).toMatchObject({ own: '192.0.2.7', subnet: '192.0.2.0/28' });
  });

  it('are those that a comparison of each with each finds', () => {
    const shape = fc.record({ at: fc.nat(255), length: fc.integer({ min: 24, max: 32 }) });
    const cidr = ({ at, length }: { readonly at: number; readonly length: number }): Cidr => {
      const size = 2 ** (32 - length);
      return readCidr(`198.51.100.${String(at - (at % size))}/${String(length)}`);
    };
    fc.assert(
      fc.property(fc.array(shape, { maxLength: 12 }), fc.array(shape, { maxLength: 4 }), (subnets, prefixes) => {
        const placed = subnets.map((each, index) => network(`n${String(index)}`, [cidr(each)], 4_096 + index));
        const one = { ...host('h1', 1), prefixes: [...new Set(prefixes.map(cidr))] };
        const index = new NetworkSubnets(viewOf(placed, [one]));
        const found = index.collisionsOf(one, 1_000).map((each) => `${each.own} ${each.network.name}`);
        const expected = one.prefixes.flatMap((own) =>
          placed
            .filter(({ subnets: [subnet] }) => subnet !== undefined && overlaps(subnet.cidr, own))
            .map(({ name }) => `${own} ${name}`),
        );
        expect(found.toSorted()).toEqual(expected.toSorted());
        expect(index.collisionsOf(one, 3)).toHaveLength(Math.min(3, expected.length));
      }),
      { numRuns: 300 },
    );
  });

  it('cost little to find among 1,000 networks and 1,000 hosts', () => {
    const spread = (count: number, first: string) =>
      Array.from({ length: count }, (_, nth) => `${first}.${String(nth >> 8)}.${String(nth & 255)}`);
    const thousand = spread(1_000, '10').map((at, nth) => network(`n${String(nth)}`, [`${at}.0/24`], 4_096 + nth));
    const hosts = (prefixes: (nth: number) => readonly string[]) =>
      Array.from({ length: 1_000 }, (_, nth) => host(`h${String(nth)}`, nth & 255, prefixes(nth)));
    const costs = (all: readonly Host[], more: readonly Network[] = []) => {
      const subnets = new NetworkSubnets(viewOf([...thousand, ...more], all));
      const found = all.reduce((sum, each) => sum + subnets.collisionsOf(each, 50).length, 0);
      return [found, subnets.compared] as const;
    };
    // Each with each would be sixteen million.
    const apart = spread(16_000, '172');
    const [none, search] = costs(hosts((nth) => apart.slice(16 * nth, 16 * nth + 16).map((at) => `${at}.0/24`)));
    expect(none).toBe(0);
    expect(search).toBeLessThan(300_000);
    // In a wide network, beside all others.
    const [wide, chain] = costs(
      hosts((nth) => [`10.200.${String(nth & 255)}.0/24`]),
      [network('wide', ['10.0.0.0/8'], 9_999)],
    );
    expect(wide).toBe(1_000);
    expect(chain).toBeLessThan(50_000);
    // In the way of all: what is not told is not looked for.
    const [all, told] = costs(hosts(() => ['10.0.0.0/8']));
    expect(all).toBe(50_000);
    expect(told).toBeLessThan(100_000);
  });
});

describe('warnings', () => {
  it('are the most urgent first, and each says what to do', () => {
    const report: EtcdReport = {
      status: {
        ...NO_ETCD.status,
        ...{
          databaseSize: 81n,
          databaseSizeInUse: 80n,
          databaseQuota: 100n,
          endpoints: ['https://e1:1', 'https://e2:1'],
        },
        members: [
          { endpoint: 'https://e1:1', healthy: true, leader: true, problem: '' },
          { endpoint: 'https://e2:1', healthy: false, leader: false, problem: 'no answer' },
        ],
      },
      alarms: ['NOSPACE', 'CORRUPT'],
    };
    const reasons = (each: EtcdReport) => etcdWarnings(each).map(({ reason }) => reason);
    expect(reasons(report)).toEqual(['ETCD_NO_SPACE', 'ETCD_CORRUPT', 'ETCD_MEMBER_DOWN']);
    // Full says more than nearly full.
    expect(reasons({ ...report, alarms: [] })).toEqual(['ETCD_MEMBER_DOWN', 'ETCD_NEARLY_FULL']);
    const sparse = { ...report.status, databaseSize: 79n, members: [] };
    expect(reasons({ status: sparse, alarms: [] })).toEqual([]);
    expect(reasons({ status: { ...sparse, databaseQuota: 0n }, alarms: [] })).toEqual([]);

    const [lost, late] = [host('lost', 1), host('late', 2, ['10.1.0.0/16'])];
    const scarce = [{ reason: 'ADDRESSES_SCARCE', object: 'network blue', message: 'it is' }];
    const view = viewOf([network('blue', ['10.1.2.0/24'], 4_096)], [lost, late]);
    const told = clusterWarnings({ view, scarce, awaited: [lost, late], givenUp: [] });
    expect(told.map(({ reason, object }) => [reason, object])).toEqual([
      ['ADDRESSES_SCARCE', 'network blue'],
      ['HOSTS_UNDECLARED', 'hosts late, lost'],
      ['SUBNET_COLLIDES', 'network blue'],
    ]);
    expect(told[2]?.message).toMatch(
      /^route 10\.1\.0\.0\/16 of host late overlaps network blue \(10\.1\.2\.0\/24\): .*;/,
    );
    const [given] = clusterWarnings({ view, scarce: [], awaited: [], givenUp: [lost] });
    expect(given).toMatchObject({ reason: 'HOSTS_UNDECLARED', object: 'host lost' });
  });
});
