import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contains, overlaps, parseCidr, parseIp, type Cidr } from '../../core/address.js';
import { chooseSubnet, defaultPools, parsePool, subnetCount, type SubnetPool } from './subnet-pool.js';
import { chooseNumber } from './vni.js';

const pool = (text: string): SubnetPool => {
  const parsed = parsePool(text);
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
};
const taken = (...texts: string[]) =>
  texts.map((text) => parseCidr(text) ?? parseIp(text)).filter((each) => each !== undefined);

describe('pools', () => {
  it('read CIDR/SIZE', () => {
    expect(pool('10.128.0.0/9/24')).toEqual({ range: '10.128.0.0/9', size: 24 });
    expect(pool('fd00::/48/64')).toEqual({ range: 'fd00::/48', size: 64 });
  });

  it.each([
    ['10.0.0.0', 'expected CIDR/SIZE'],
    ['', 'expected CIDR/SIZE'],
    ['10.0.0.0/8', 'expected CIDR/SIZE'],
    ['10.0.0.1/8/24', 'did you mean 10.0.0.0/8/24?'],
    ['10.0.0.0/8/7', 'from 8 to 30'],
    ['10.0.0.0/8/31', 'from 8 to 30'],
    ['10.0.0.0/8/x', 'from 8 to 30'],
    ['fd00::/48/127', 'from 48 to 126'],
    ['127.0.0.0/8/24', 'loopback'],
  ])('refuse %j', (text, why) => {
    expect(parsePool(text)).toContain(why);
  });

  it('come from the cluster’s id for IPv6: the same on every controller, another in every cluster', () => {
    const [v4, v6] = defaultPools('a');
    expect(v4).toEqual({ range: '10.128.0.0/9', size: 24 });
    expect(v6?.range).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+::\/48$/);
    expect(defaultPools('a')).toEqual([v4, v6]);
    expect(defaultPools('b')[1]).not.toEqual(v6);
    expect(subnetCount(defaultPools('a'), 4)).toBe(2n ** 15n);
  });
});

describe('choosing a subnet', () => {
  const pools = [pool('10.1.0.0/22/24'), pool('10.9.0.0/30/30'), pool('fd00::/62/64')];
  it.each([
    [4, [], '10.1.0.0/24'],
    [4, ['10.1.0.0/24'], '10.1.1.0/24'],
    [4, ['10.1.1.0/24', '10.1.0.5'], '10.1.2.0/24'],
    [4, ['10.1.0.0/23', '10.1.3.128/25', '10.1.2.1'], '10.9.0.0/30'],
    [4, ['10.0.0.0/8'], undefined],
    [4, ['0.0.0.0/0'], undefined],
    [4, ['fd00::/8'], '10.1.0.0/24'],
    [6, ['10.0.0.0/8', 'fd00::1'], 'fd00:0:0:1::/64'],
    [6, ['fd00::/63', 'fd00:0:0:3::9'], 'fd00:0:0:2::/64'],
  ] as const)('of family %d beside %o', (family, others, chosen) => {
    expect(chooseSubnet({ pools, family, taken: taken(...others) })).toBe(chosen);
  });

  it('never overlaps what is taken, and gives up only when nothing is free', () => {
    const small = [pool('10.1.0.0/26/29')];
    const part = fc
      .record({ prefix: fc.integer({ min: 26, max: 32 }), at: fc.integer({ min: 0, max: 63 }) })
      .map(({ prefix, at }) => parseCidr(`10.1.0.${String(at & ~(2 ** (32 - prefix) - 1))}/${String(prefix)}`))
      .filter((each): each is Cidr => each !== undefined);
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (others) => {
        const chosen = chooseSubnet({ pools: small, family: 4, taken: others });
        const all = Array.from({ length: 8 }, (_, index) => parseCidr(`10.1.0.${String(index * 8)}/29`)).filter(
          (each) => each !== undefined,
        );
        const free = all.filter((each) => !others.some((other) => overlaps(each, other)));
        expect(chosen).toBe(free[0]);
        if (chosen !== undefined) expect(small.some(({ range }) => contains(range, chosen))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('choosing a number', () => {
  const range = { first: 10, last: 12 };
  it.each<[readonly number[], number | undefined, number | undefined]>([
    [[], undefined, 10],
    [[], 10, 11],
    [[], 12, 10],
    [[11], 10, 12],
    [[12, 10], 11, 11],
    [[10, 11, 12], 11, undefined],
    [[], 99, 10],
  ])('beside %o after %s', (held, after, chosen) => {
    expect(chooseNumber({ range, isHeld: (each) => held.includes(each), heldCount: held.length, after })).toBe(chosen);
  });
});
