import { describe, expect, it } from 'vitest';
import { seeded, shapeOf } from './shape.js';

describe('the shape of a cluster', () => {
  it.each([
    [1_000, 2_171, 100_000],
    [500, 1_086, 50_000],
    [200, 435, 20_000],
  ])('of %i hosts has %i networks and %i endpoints', (hosts, networks, endpoints) => {
    const shape = shapeOf(hosts, seeded(1));
    expect(shape).toHaveLength(networks);
    expect(shape.reduce((sum, each) => sum + each.hosts.length, 0)).toBe(endpoints);
    for (const { kind, hosts: placed } of shape) {
      const span = { everywhere: hosts, wide: 200, middle: 40, narrow: 8 }[kind];
      expect(new Set(placed).size).toBe(span);
      for (const host of placed) expect(host).toSatisfy((number: number) => number >= 0 && number < hosts);
    }
    const perHost = new Map<number, number>();
    for (const host of shape.flatMap((each) => each.hosts)) perHost.set(host, (perHost.get(host) ?? 0) + 1);
    expect(Math.min(...perHost.values())).toBeGreaterThan(80);
    expect(Math.max(...perHost.values())).toBeLessThan(120);
  });

  it('is the same for the same seed, and another for another', () => {
    expect(shapeOf(200, seeded(7))).toEqual(shapeOf(200, seeded(7)));
    expect(shapeOf(200, seeded(7))).not.toEqual(shapeOf(200, seeded(8)));
  });
});
