import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { contains, familyOf, overlaps, parseCidr, type Cidr, type IpAddress } from '../../core/address.js';
import { newHostId, newNetworkId } from '../../core/ids.js';
import { PRESENT, type Host, type Network } from '../../core/model.js';
import { ClusterView } from '../cache/view.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { Operator, readCidr, readIp, readPools, refusalOf, wish } from './network.testing.js';
import { chooseSubnets } from './subnet-choice.js';

const host = (fields: { readonly vtep: IpAddress; readonly prefixes?: readonly Cidr[] }): Host => ({
  ...{ id: newHostId(), name: 'h', number: 1, version: '', prefixes: [], declaredEpoch: '', ...PRESENT, revision: 1n },
  ...fields,
});
const network = (cidrs: readonly Cidr[]): Network => ({
  ...{ id: newNetworkId(), name: 'n', driver: 'overlay', vni: 4096, internal: false, mtu: undefined, labels: {} },
  ...{ options: {}, revision: 1n, requestId: '', createTimeMs: 0 },
  subnets: cidrs.map((cidr) => ({ cidr, gateway: readIp('10.0.0.1'), ipRange: undefined, auxAddresses: {} })),
});
const viewOf = (networks: readonly Network[], hosts: readonly Host[]): ClusterView => {
  const view = new ClusterView();
  view.apply(1n, [
    ...networks.map((value) => ({ kind: 'put' as const, object: { kind: 'network' as const, value } })),
    ...hosts.map((value) => ({ kind: 'put' as const, object: { kind: 'host' as const, value } })),
  ]);
  return view;
};

const POOLS = readPools('10.1.0.0/27/30', 'fd00::/61/64');

/** Some range in or about the pools. */
const range = fc.oneof(
  fc.record({ prefix: fc.integer({ min: 24, max: 32 }), at: fc.nat(63) }).map(({ prefix, at }) => {
    const size = 2 ** (32 - prefix);
    return parseCidr(`10.1.0.${String(Math.floor(at / size) * size)}/${String(prefix)}`);
  }),
  fc.record({ prefix: fc.constantFrom(60, 61, 62, 63, 64), at: fc.nat(15) }).map(({ prefix, at }) => {
    const size = 2 ** (64 - prefix);
    return parseCidr(`fd00:0:0:${(Math.floor(at / size) * size).toString(16)}::/${String(prefix)}`);
  }),
);
const ranges = fc
  .array(range, { maxLength: 5 })
  .map((all): readonly Cidr[] => all.filter((each): each is Cidr => each !== undefined));

describe('choosing subnets', () => {
  it('never overlaps a network, a host’s address or route; and is exhausted only when there is none', () => {
    fc.assert(
      fc.property(ranges, ranges, fc.nat(40), (ofNetworks, ofHosts, at) => {
        const vtep = readIp(`10.1.0.${String(at)}`);
        const view = viewOf(
          ofNetworks.map((cidr) => network([cidr])),
          [host({ vtep, prefixes: ofHosts })],
        );
        const taken = [...ofNetworks, ...ofHosts, readCidr(`${vtep}/32`)];
        const free = (family: 4 | 6): boolean =>
          Array.from({ length: 8 }, (_, index) =>
            readCidr(family === 4 ? `10.1.0.${String(index * 4)}/30` : `fd00:0:0:${String(index)}::/64`),
          ).some((each) => !taken.some((other) => overlaps(each, other)));
        const chosen = chooseSubnets(view, [4, 6], POOLS);
        if ('reason' in chosen) {
          expect(chosen.reason).toBe('SUBNETS_EXHAUSTED');
          expect(free(chosen.message.includes('IPv4') ? 4 : 6)).toBe(false);
          return;
        }
        expect(chosen.map(familyOf)).toEqual([4, 6]);
        for (const each of chosen) {
          expect(POOLS.some(({ range: pool }) => contains(pool, each))).toBe(true);
          expect(taken.filter((other) => overlaps(each, other))).toEqual([]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('says what is in the pools when nothing is free', () => {
    const view = viewOf(
      [network([readCidr('10.1.0.0/28')]), network([readCidr('10.9.0.0/24')])],
      [
        host({ vtep: readIp('192.0.2.1'), prefixes: [readCidr('10.1.0.16/28')] }),
        host({ vtep: readIp('192.0.2.2'), prefixes: [readCidr('10.1.0.16/28')] }),
      ],
    );
    expect(chooseSubnets(view, [4], POOLS)).toMatchObject({
      reason: 'SUBNETS_EXHAUSTED',
      message:
        'none of the 8 IPv4 subnets of the pools is free (in them are subnets of networks: 1; addresses and routes of ' +
        'hosts: 1, such as 10.1.0.16/28); name a subnet, or give the controllers a further --pool',
      metadata: { subnets: '8', networks: '1', hosts: '1' },
    });
    expect(chooseSubnets(view, [6], readPools('10.1.0.0/27/30'))).toMatchObject({
      ...{ reason: 'SUBNETS_EXHAUSTED', message: expect.stringContaining('no pool of IPv6') as string },
    });
  });

  it('costs little with many networks and hosts', () => {
    const many = Array.from({ length: 2_000 }, (_, index) =>
      network([readCidr(`10.${String(128 + (index >> 8))}.${String(index & 255)}.0/24`)]),
    );
    const routes = Array.from({ length: 256 }, (_, index) => readCidr(`172.16.${String(index)}.0/24`));
    const hosts = Array.from({ length: 100 }, (_, index) =>
      host({ vtep: readIp(`192.0.2.${String(index)}`), prefixes: routes }),
    );
    const view = viewOf(many, hosts);
    const began = performance.now();
    expect(chooseSubnets(view, [4], readPools('10.128.0.0/9/24'))).toEqual(['10.135.208.0/24']);
    expect(performance.now() - began).toBeLessThan(200);
  });
});

describe('a network without a subnet of its own', () => {
  let brain: Brain;
  let operator: Operator;
  beforeEach(async () => {
    brain = await openBrain(new MemoryStore());
    operator = new Operator(brain, readPools('10.128.0.0/22/24', 'fd00::/62/64'));
  });
  afterEach(async () => {
    await brain[Symbol.asyncDispose]();
  });

  it.each<[string, Parameters<Operator['create']>[0], string[]]>([
    ['of IPv4', {}, ['10.128.0.0/24']],
    ['of both families', { ipv6: true }, ['10.128.0.0/24', 'fd00::/64']],
    ['of IPv6 beside its own of IPv4', { ipv6: true, subnets: [wish('10.9.0.0/24')] }, ['10.9.0.0/24', 'fd00::/64']],
    ['not where its own is of IPv6', { ipv6: true, subnets: [wish('fd01::/64')] }, ['fd01::/64']],
  ])('gets one %s', async (_, fields, cidrs) => {
    const made = await operator.create(fields);
    expect(made.subnets.map(({ cidr }) => cidr)).toEqual(cidrs);
    expect(made.createTimeMs).toBeGreaterThan(Date.now() - 60_000);
  });

  it('keeps away from what other networks grew into', async () => {
    const grown = await operator.create({ subnets: [wish('10.128.1.0/24')] });
    await operator.update(grown.id, { subnets: [wish('10.128.0.0/23')] });
    expect((await operator.create()).subnets.map(({ cidr }) => cidr)).toEqual(['10.128.2.0/24']);
    await operator.update(grown.id, { subnets: [wish('10.128.0.0/23'), wish('10.128.3.0/24')] });
    expect((await refusalOf(operator.create())).message).toContain(
      'subnets of networks: 3; addresses and routes of hosts: 0)',
    );
    await operator.update(grown.id, { subnets: [wish('10.128.0.0/23')] });
    expect((await operator.create()).subnets.map(({ cidr }) => cidr)).toEqual(['10.128.3.0/24']);
  });
});
