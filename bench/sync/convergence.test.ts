import { describe, expect, it } from 'vitest';
import type { HostId } from '../../core/ids.js';
import { latencyOf, spreadOf, type Committed } from './convergence.js';

const hosts = ['a', 'b', 'c'] as HostId[];
const acks = (...pairs: readonly [revision: number, atMs: number][]) => ({
  revisions: Float64Array.from(pairs, ([revision]) => revision),
  timesMs: Float64Array.from(pairs, ([, atMs]) => atMs),
});
const committed = (revision: number, concerned: readonly HostId[]): Committed => ({
  ...{ revision, atMs: 100, kind: 'narrow', step: 'ready', hosts: concerned },
});

describe('how long a change took', () => {
  const all = new Map([
    [hosts[0] as HostId, acks([1, 90], [5, 110], [7, 120])],
    [hosts[1] as HostId, acks([4, 105], [6, 130])],
    [hosts[2] as HostId, acks()],
  ]);

  it('is until the last host concerned has acknowledged it, or something later', () => {
    expect(latencyOf(committed(5, hosts.slice(0, 2)), all)).toBe(30);
    expect(latencyOf(committed(4, hosts.slice(0, 2)), all)).toBe(10);
    expect(latencyOf(committed(4, hosts.slice(0, 1)), all)).toBe(10);
  });

  it('has no end where a host never did', () => {
    expect(latencyOf(committed(7, hosts.slice(0, 2)), all)).toBe(Infinity);
    expect(latencyOf(committed(1, hosts), all)).toBe(Infinity);
  });

  it('is nothing where it concerns nobody', () => {
    expect(latencyOf(committed(9, []), all)).toBe(0);
  });
});

it('counts what never ended among the slowest', () => {
  expect(spreadOf([3, 1, Infinity, 2])).toEqual({
    count: 4,
    p50Ms: 2,
    p99Ms: Infinity,
    maxMs: Infinity,
    unfinished: 1,
  });
});
