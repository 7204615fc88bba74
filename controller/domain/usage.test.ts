import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newEndpointId, newNetworkId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Host, Network, Subnet } from '../../core/model.js';
import { ClusterView, type Edit } from '../cache/view.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { objectionTo } from './address-pool.js';
import { toSubnet } from './network.js';
import { Operator, readIp, wish } from './network.testing.js';
import { networkUsage, subnetUsage } from './usage.js';

let brain: Brain;
let operator: Operator;
let host: Host;
beforeEach(async () => {
  brain = await openBrain(new MemoryStore(), { quarantineMs: 60_000 });
  operator = new Operator(brain);
  host = await operator.host(1);
});
afterEach(async () => {
  await brain[Symbol.asyncDispose]();
});

const figures = ({ subnets, ...network }: Network): string[] =>
  subnets.map((subnet) => {
    const { total, used, resting, free } = subnetUsage(brain.cache.view, { subnets, ...network }, subnet);
    return [total, used, resting, free].join(' ');
  });
const overall = (network: Network): string => {
  const { total, used, resting, free } = networkUsage(brain.cache.view, network);
  return [total, used, resting, free].join(' ');
};

describe('usage', () => {
  it.each<[Parameters<typeof wish>, string]>([
    [['10.1.0.0/30'], '1 0 0 1'],
    [['10.1.0.0/24'], '253 0 0 253'],
    [['10.1.0.0/24', { ipRange: '10.1.0.128/25' }], '127 0 0 127'],
    [['10.1.0.0/24', { ipRange: '10.1.0.0/25' }], '126 0 0 126'],
    [['10.1.0.0/24', { ipRange: '10.1.0.9/32' }], '1 0 0 1'],
    [['10.1.0.0/24', { ipRange: '10.1.0.1/32' }], '0 0 0 0'],
    [['10.1.0.0/24', { aux: { a: '10.1.0.7', b: '10.1.0.8' } }], '251 0 0 251'],
    [['fd01::/126'], '2 0 0 2'],
    [['fd01::/66'], `${String(2n ** 62n - 2n)} 0 0 ${String(2n ** 62n - 2n)}`],
    [['fd01::/64'], `${String(2n ** 63n - 1n)} 0 0 ${String(2n ** 63n - 1n)}`],
    [['fd01::/48'], `${String(2n ** 63n - 1n)} 0 0 ${String(2n ** 63n - 1n)}`],
  ])('of %j is %s', async (subnet, expected) => {
    const made = await operator.create({ subnets: [wish(...subnet)] });
    expect(figures(made)).toEqual([expected]);
    expect(overall(made)).toBe(expected);
  });

  it('follows what endpoints hold and give back, of each subnet, and of the family that runs out first', async () => {
    const made = await operator.create({
      subnets: [wish('10.1.0.0/29'), wish('10.2.0.0/23'), wish('fd01::/126')],
    });
    expect(figures(made)).toEqual(['5 0 0 5', '509 0 0 509', '2 0 0 2']);
    expect(overall(made)).toBe('2 0 0 2');
    const first = await operator.attach(made.id, host, { sandbox: 'a' });
    await operator.attach(made.id, host, { sandbox: 'b', addresses: ['10.2.1.0'] });
    expect(figures(made)).toEqual(['5 1 0 4', '509 1 0 508', '2 2 0 0']);
    await operator.detach(first);
    expect(figures(made)).toEqual(['5 0 1 4', '509 1 0 508', '2 1 1 0']);
    expect(overall(made)).toBe('2 1 1 0');
    // Who asks for an address that rests has it at once.
    await operator.attach(made.id, host, { sandbox: 'c', addresses: [...first.addresses] });
    expect(figures(made)).toEqual(['5 1 0 4', '509 1 0 508', '2 2 0 0']);
  });

  it('is what a look at every address would count', () => {
    const SUBNETS = ['10.1.0.0/27', '10.1.0.64/26', '10.1.1.0/24'].map((cidr) => wish(cidr));
    const subnet = fc.constantFrom(...SUBNETS);
    const held = fc.integer({ min: 1, max: 500 });
    fc.assert(
      fc.property(fc.uniqueArray(subnet), fc.uniqueArray(held), fc.uniqueArray(held), (subnets, held, resting) => {
        const id = newNetworkId();
        const value: Network = {
          ...{ id, name: 'n', driver: 'overlay', vni: 4096, internal: false, mtu: undefined, labels: {}, options: {} },
          ...{ revision: 1n, requestId: '', createTimeMs: 0, subnets: subnets.map(toSubnet) },
        };
        const address = (offset: number) => readIp(`10.1.${String(offset >> 8)}.${String(offset & 255)}`);
        const choosable = (offset: number): Subnet | undefined =>
          value.subnets.find((each) => objectionTo(each, address(offset)) === undefined);
        const holders = held.filter((offset) => choosable(offset) !== undefined);
        const sleepers = resting.filter((offset) => choosable(offset) !== undefined);
        const view = new ClusterView();
        view.apply(1n, [
          { kind: 'put', object: { kind: 'network', value } },
          ...sleepers.map((offset): Edit => {
            const value = { networkId: id, address: address(offset), revision: 1n };
            return { kind: 'put', object: { kind: 'resting', value } };
          }),
          ...holders.map((offset): Edit => {
            const value: Endpoint = {
              ...{ id: newEndpointId(), networkId: id, hostId: host.id, sandbox: 's', name: 's', aliases: [] },
              ...{ addresses: [address(offset)], mac: randomMac(), labels: {}, state: 'ready', revision: 1n },
              ...{ requestId: '', createRevision: 1n, createTimeMs: 0 },
            };
            return { kind: 'put', object: { kind: 'endpoint', value } };
          }),
        ]);
        for (const each of value.subnets) {
          const within = (offsets: number[]): number[] => offsets.filter((offset) => choosable(offset) === each);
          const all = within(Array.from({ length: 512 }, (_, offset) => offset));
          const [used, rests] = [within(holders), within(sleepers.filter((offset) => !holders.includes(offset)))];
          expect(subnetUsage(view, value, each)).toEqual({
            ...{ total: BigInt(all.length), used: BigInt(used.length), resting: BigInt(rests.length) },
            free: BigInt(all.length - used.length - rests.length),
          });
        }
      }),
      { numRuns: 200 },
    );
  });

  it('counts an address outside of the range, and never more than there are', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24', { ipRange: '10.1.0.4/31' })] });
    for (const [index, address] of ['10.1.0.9', '10.1.0.10', '10.1.0.11'].entries()) {
      await operator.attach(made.id, host, { sandbox: `s${String(index)}`, addresses: [address] });
      expect(figures(made)).toEqual([['2 1 0 1', '2 2 0 0', '2 2 0 0'][index]]);
    }
  });
});
