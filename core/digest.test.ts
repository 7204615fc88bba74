import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp } from './address.js';
import { bucketCountFor, bucketing, differingBuckets, DIGEST_BYTES, digestsOf, type Things } from './digest.js';
import {
  newEndpointId,
  newHostId,
  newNetworkId,
  parseEndpointId,
  parseHostId,
  type EndpointId,
  type HostId,
} from './ids.js';
import type { Mac } from './mac.js';
import type { Endpoint, Peer } from './model.js';

function certain<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a literal is wrong');
  return value;
}

const endpoint = (id: EndpointId, revision: bigint): Endpoint => ({
  ...{ id, revision, networkId: newNetworkId(), hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [] },
  ...{ addresses: [], mac: '02:00:00:00:00:01' as Mac, labels: {}, state: 'ready', requestId: '' },
  ...{ createRevision: 1n, createTimeMs: 0 },
});
const peer = (hostId: HostId, vtep = '192.0.2.1', number = 1): Peer => ({
  ...{ hostId, number },
  vtep: certain(parseIp(vtep)),
});
const things = (endpoints: readonly Endpoint[], peers: readonly Peer[] = []): Things => ({
  endpoints: new Map(endpoints.map((each) => [each.id, each])),
  peers: new Map(peers.map((each) => [each.hostId, each])),
});
const hex = (digests: Uint8Array): string => Buffer.from(digests).toString('hex');

const E1 = certain(parseEndpointId('00000001-0003-4000-8000-000000000000'));
const E2 = certain(parseEndpointId('fedcba98-7654-4321-8fed-cba987654321'));
const H1 = certain(parseHostId('00000001-0001-4000-8000-000000000000'));

describe('digests', () => {
  // Where one of these changes, DIGEST_FORMAT must: controllers and agents of two versions would take each other's for theirs.
  it.each<[string, Things, number, string]>([
    ['nothing', things([]), 1, '0000000000000000'],
    ['an endpoint', things([endpoint(E1, 7n)]), 1, 'e2b3f5b1bbf9b240'],
    ['another revision of it', things([endpoint(E1, 2n ** 40n + 8n)]), 1, 'e7bdae6f04addc97'],
    ['another one', things([endpoint(E2, 7n)]), 1, 'f82f5dd30c0508bc'],
    ['a peer', things([], [peer(H1)]), 1, '06459ff2c91c8b4a'],
    ['a peer over IPv6', things([], [peer(H1, '2001:db8::12', 65_535)]), 1, '93013766ae9759d9'],
    ['all of them', things([endpoint(E1, 7n), endpoint(E2, 7n)], [peer(H1)]), 2, 'fe74fcc5d5219306e2b3f5b1bbf9b240'],
  ])('of %s are these', (_, of, count, golden) => {
    expect(hex(digestsOf(of, count))).toBe(golden);
  });

  it('differ in exactly the buckets in which something does', () => {
    const anyThings = fc
      .array(fc.record({ number: fc.nat(30), revision: fc.bigInt(1n, 2n ** 53n) }), { maxLength: 60 })
      .map((each) => new Map(each.map(({ number, revision }) => [number, revision])));
    const ids = Array.from({ length: 31 }, newEndpointId);
    const hosts = Array.from({ length: 31 }, newHostId);
    const of = (numbers: ReadonlyMap<number, bigint>): Things =>
      things(
        [...numbers].map(([number, revision]) => endpoint(certain(ids[number]), revision)),
        [...numbers].map(([number, revision]) => peer(certain(hosts[number]), '192.0.2.1', Number(revision % 9n))),
      );
    fc.assert(
      fc.property(anyThings, anyThings, fc.integer({ min: 0, max: 5 }), (one, other, power) => {
        const count = 2 ** power;
        const [a, b] = [of(one), of(other)];
        const bucketOf = bucketing(count);
        const wanted = new Set<number>();
        for (const number of new Set([...one.keys(), ...other.keys()])) {
          const [id, host] = [certain(ids[number]), certain(hosts[number])];
          if (a.endpoints.get(id)?.revision !== b.endpoints.get(id)?.revision) wanted.add(bucketOf(id));
          if (a.peers.get(host)?.number !== b.peers.get(host)?.number) wanted.add(bucketOf(host));
        }
        const differing = differingBuckets(digestsOf(a, count), digestsOf(b, count));
        expect([...differing]).toEqual([...wanted].sort((x, y) => x - y));
      }),
    );
  });

  it('are the same in whichever order things come, and wherever the bytes lie', () => {
    const all = Array.from({ length: 200 }, (_, at) => endpoint(newEndpointId(), BigInt(at)));
    const digests = digestsOf(things(all), 8);
    const within = new Uint8Array(8 * DIGEST_BYTES + 3);
    within.set(digestsOf(things(all.toReversed()), 8), 3);
    expect(differingBuckets(digests, within.subarray(3))).toEqual([]);
    expect(() => differingBuckets(digests, within)).toThrow(RangeError);
  });

  it('collide nowhere among revisions and ids that are close to each other', () => {
    const digests = new Set<string>();
    const words = new Set<number>();
    const add = (each: Endpoint): void => {
      const bytes = Buffer.from(digestsOf(things([each]), 1));
      digests.add(bytes.toString('hex'));
      words.add(bytes.readUInt32LE(0));
    };
    for (let at = 0; at < 20_000; at += 1) {
      add(endpoint(E1, BigInt(at)));
      add(endpoint(certain(parseEndpointId(`${at.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`)), 1n));
    }
    expect(digests.size).toBe(40_000);
    // Of 40,000 random numbers of 32 bits, 0.19 pairs are equal on the average.
    expect(words.size).toBeGreaterThan(39_996);
  });

  it('change in half of their bits with any bit of an id or a revision', () => {
    const changes = new Array<number>(64).fill(0);
    const revisionBits = 48;
    const rounds = 100;
    for (let round = 0; round < rounds; round += 1) {
      const id = newEndpointId();
      const revision = BigInt(round * 1_000);
      const before = Buffer.from(digestsOf(things([endpoint(id, revision)]), 1)).readBigUInt64LE();
      for (let bit = 0; bit < revisionBits; bit += 1) {
        const other = endpoint(id, revision ^ (1n << BigInt(bit)));
        const after = Buffer.from(digestsOf(things([other]), 1)).readBigUInt64LE();
        for (let at = 0; at < 64; at += 1)
          if ((((before ^ after) >> BigInt(at)) & 1n) === 1n) changes[at] = (changes[at] ?? 0) + 1;
      }
    }
    // 4,800 throws of a coin: 0.5 with a standard deviation of 0.007.
    for (const count of changes) expect(Math.abs(count / (rounds * revisionBits) - 0.5)).toBeLessThan(0.05);
  });
});

describe('buckets', () => {
  it('are a power of two, of 8 to 16 things each', () => {
    expect([0, 1, 16, 17, 32, 33, 1_100].map(bucketCountFor)).toEqual([1, 1, 1, 2, 2, 4, 128]);
  });

  it('are as full as chance makes them, also of ids that somebody counted', () => {
    const count = 256;
    for (const id of [newEndpointId, (at: number) => `00000000-0000-4000-8000-${at.toString(16).padStart(12, '0')}`]) {
      const bucketOf = bucketing(count);
      const held = new Array<number>(count).fill(0);
      for (let at = 0; at < 16 * count; at += 1) {
        const bucket = bucketOf(id(at));
        held[bucket] = (held[bucket] ?? 0) + 1;
      }
      // Poisson's with a mean of 16: above 40 or 0 about once in a million.
      expect(Math.max(...held)).toBeLessThan(41);
      expect(Math.min(...held)).toBeGreaterThan(0);
    }
  });
});
