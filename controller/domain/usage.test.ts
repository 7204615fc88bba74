import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Host, Network } from '../../core/model.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { Operator, wish } from './network.testing.js';
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

  it('counts an address outside of the range, and never more than there are', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24', { ipRange: '10.1.0.4/31' })] });
    for (const [index, address] of ['10.1.0.9', '10.1.0.10', '10.1.0.11'].entries()) {
      await operator.attach(made.id, host, { sandbox: `s${String(index)}`, addresses: [address] });
      expect(figures(made)).toEqual([['2 1 0 1', '2 2 0 0', '2 2 0 0'][index]]);
    }
  });
});
