import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../core/address.js';
import { bucketCountFor, digestsOf } from '../../core/digest.js';
import { fold, type Change, type HostView, type Snapshot } from '../../core/fold.js';
import { newEndpointId, newHostId, newNetworkId, parseEndpointId, parseHostId } from '../../core/ids.js';
import type { Mac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type Network } from '../../core/model.js';
import { FrameReader } from '../../proto/frame.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { decodeReplacement } from '../../proto/replacement.js';
import { ClusterView, type Edit } from '../cache/view.js';
import { plain } from './follower.testing.js';
import { Frames } from './frames.js';
import { Kept, type Parts } from './kept.js';
import { Differences, type NetworkDigest } from './resume.js';
import { thingsOf } from './span.js';

const ID = newNetworkId();
const MANY = 3_000;
/** The same in every run: which of them share a bucket decides how much is told. */
const uuid = (kind: number, at: number): string =>
  `${at.toString(16).padStart(8, '0')}-000${String(kind)}-4000-8000-000000000000`;
const ENDPOINT_IDS = Array.from({ length: MANY }, (_, at) => parseEndpointId(uuid(3, at)) ?? newEndpointId());
const HOST_IDS = Array.from({ length: 50 }, (_, at) => parseHostId(uuid(1, at)) ?? newHostId());
const ip = (text: string): IpAddress => parseIp(text) ?? ('' as IpAddress);

const network = (revision: bigint): Network => ({
  ...{ id: ID, name: 'web', driver: 'overlay', vni: 7, subnets: [], internal: false, mtu: undefined },
  ...{ labels: { at: String(revision) }, options: {}, revision, requestId: '', createTimeMs: 0 },
});
const host = (at: number, vtep = '192.0.2.1'): Host => ({
  ...{ id: HOST_IDS[at] ?? newHostId(), name: `h${String(at)}`, vtep: ip(vtep), number: at + 1, version: '' },
  ...{ prefixes: [], declaredEpoch: '', ...PRESENT, revision: 1n },
});
/** Endpoint `at`, on host `at % hosts`. */
const endpoint = (at: number, revision: bigint, hosts = HOST_IDS.length): Endpoint => ({
  ...{ id: ENDPOINT_IDS[at] ?? newEndpointId(), networkId: ID, hostId: HOST_IDS[at % hosts] ?? newHostId() },
  ...{ sandbox: `s${String(at)}`, name: `s${String(at)}`, aliases: [], addresses: [ip(`10.1.0.${String(at % 250)}`)] },
  ...{ mac: '02:00:00:00:00:01' as Mac, labels: { at: String(revision) }, state: 'ready', requestId: '' },
  ...{ revision, createRevision: 1n, createTimeMs: 0 },
});

/** A controller's view of the one network. */
function viewOf(net: Network, hosts: readonly Host[], endpoints: readonly Endpoint[]): ClusterView {
  const view = new ClusterView();
  const put = (object: (Edit & { kind: 'put' })['object']): Edit => ({ kind: 'put', object });
  view.apply(100n, [
    ...hosts.map((value) => put({ kind: 'host', value })),
    put({ kind: 'network', value: net }),
    ...endpoints.map((value) => put({ kind: 'endpoint', value })),
  ]);
  return view;
}

/** What a host knows that was told all of a controller's view. */
function knownFrom(view: ClusterView): HostView {
  const net = view.networks.get(ID);
  if (net === undefined) throw new Error('no network');
  const { endpoints, peers } = thingsOf(view, ID);
  return new Map([[ID, { network: net, endpoints: new Map(endpoints), peers }]]);
}

function digestOf(known: HostView): NetworkDigest {
  const of = known.get(ID);
  if (of === undefined) throw new Error('no network');
  const count = bucketCountFor(of.endpoints.size + of.peers.size);
  return { revision: of.network.revision, digests: digestsOf(of, count) };
}

function read(parts: Parts): (Snapshot | Change)[] {
  const frames = new FrameReader();
  return parts.flatMap((part): readonly (Snapshot | Change)[] => {
    const { message } = SyncResponse.decode(part);
    if (message?.$case === 'replacement') return [decodeReplacement(message.value)];
    if (message?.$case !== 'frame') throw new Error(message?.$case ?? 'nothing');
    const snapshot = frames.read(message.value);
    return snapshot === undefined ? [] : [snapshot];
  });
}

const bytesOf = (parts: Parts): number => parts.reduce((sum, { length }) => sum + length, 0);

let encoded = 0;
let kept = new Kept({ bytes: 1e7 });
let differences = new Differences(kept, () => undefined);
const frames = new Frames(new Kept({ bytes: 0 }), () => undefined);

beforeEach(() => {
  encoded = 0;
  kept = new Kept({ bytes: 1e7 });
  differences = new Differences(kept, () => {
    encoded += 1;
  });
});

const ask = (view: ClusterView, known: NetworkDigest): Parts | undefined => {
  const net = view.networks.get(ID);
  if (net === undefined) throw new Error('no network');
  return differences.of(view, net, known);
};
/** What a host is told in the end, differences or all. */
const answer = (view: ClusterView, known: NetworkDigest): Parts =>
  ask(view, known) ?? frames.of(view, view.networks.get(ID) ?? network(0n));

describe('a host that comes back', () => {
  const side = fc
    .record({
      settings: fc.integer({ min: 1, max: 3 }),
      hosts: fc.integer({ min: 1, max: 4 }),
      vtep: fc.constantFrom('192.0.2.1', '2001:db8::1'),
      revisions: fc.array(fc.option(fc.integer({ min: 1, max: 2 }), { freq: 3 }), { minLength: 1, maxLength: 90 }),
    })
    .map(({ settings, hosts, vtep, revisions }) =>
      viewOf(
        network(BigInt(settings)),
        Array.from({ length: hosts }, (_, at) => host(at, at === 0 ? vtep : undefined)),
        revisions.flatMap((revision, at) => (revision === null ? [] : [endpoint(at, BigInt(revision), hosts)])),
      ),
    );

  it('has what the controller has once it took the answer, whatever either had', () => {
    fc.assert(
      fc.property(side, side, (before, now) => {
        differences.touched(ID);
        kept.touched(ID);
        const known = knownFrom(before);
        const told = fold(known, read(answer(now, digestOf(known))));
        expect(plain(told)).toEqual(plain(knownFrom(now)));
      }),
      { numRuns: 300 },
    );
  });

  it('is told nothing that it has, and in proportion to what it has not', () => {
    const hosts = HOST_IDS.map((_, at) => host(at));
    const all = ENDPOINT_IDS.map((_, at) => endpoint(at, 1n));
    const known = knownFrom(viewOf(network(1n), hosts, all));
    const digest = digestOf(known);
    const whole = bytesOf(frames.of(viewOf(network(1n), hosts, all), network(1n)));
    expect(digest.digests.length).toBeLessThan(whole / 100);
    expect(ask(viewOf(network(1n), hosts, all), digest)).toEqual([]);
    for (const changed of [1, 10, 50]) {
      differences.touched(ID);
      kept.touched(ID);
      // Some are others, some are gone, some are new.
      const changes = all.map((each, at) => (at < changed && at % 3 === 0 ? endpoint(at, 2n) : each));
      const now = changes.filter((_, at) => at >= changed || at % 3 !== 1);
      const view = viewOf(network(1n), hosts, now);
      const parts = ask(view, digest) ?? [];
      expect(plain(fold(known, read(parts)))).toEqual(plain(knownFrom(view)));
      // A bucket has 12 of these things on the average.
      const each = whole / (MANY + hosts.length);
      expect(bytesOf(parts)).toBeLessThan(20 * each * Math.ceil((changed * 2) / 3) + 200);
      expect(bytesOf(parts)).toBeGreaterThan(0);
    }
  });

  it('is told settings alone where nothing else differs', () => {
    const hosts = [host(0)];
    const known = knownFrom(viewOf(network(1n), hosts, [endpoint(0, 1n)]));
    const parts = ask(viewOf(network(2n), hosts, [endpoint(0, 1n)]), digestOf(known)) ?? [];
    expect(read(parts)).toMatchObject([{ buckets: [], endpoints: [], peers: [], network: { revision: 2n } }]);
    expect(bytesOf(parts)).toBeLessThan(200);
  });

  it('is told all where every bucket differs, or there are many more or fewer than it knew', () => {
    const hosts = [host(0)];
    const some = (count: number, revision = 1n) =>
      viewOf(
        network(1n),
        hosts,
        Array.from({ length: count }, (_, at) => endpoint(at, revision)),
      );
    const digest = digestOf(knownFrom(some(100)));
    expect(ask(some(100, 2n), digest)).toBeUndefined();
    differences.touched(ID);
    expect(ask(some(1_000), digest)).toBeUndefined();
    expect(ask(some(10), digest)).toBeUndefined();
    // A host that claims more buckets than it can have makes nobody work.
    expect(ask(some(100), { revision: 1n, digests: new Uint8Array(8 * 65_536) })).toBeUndefined();
  });

  it('shares the bytes with all that lag alike, until the network is touched', () => {
    const hosts = [host(0)];
    const all = Array.from({ length: 200 }, (_, at) => endpoint(at, 1n));
    const one = digestOf(knownFrom(viewOf(network(1n), hosts, all)));
    const other = digestOf(knownFrom(viewOf(network(1n), hosts, [endpoint(0, 3n), ...all.slice(1)])));
    const now = viewOf(network(1n), hosts, [...all.slice(0, 199), endpoint(199, 2n)]);
    const first = ask(now, one);
    expect(ask(now, one)).toBe(first);
    expect(encoded).toBe(1);
    expect(ask(now, other)).not.toBe(first);
    expect(encoded).toBe(2);
    kept.touched(ID);
    differences.touched(ID);
    expect(ask(now, one)).not.toBe(first);
    expect(encoded).toBe(3);
  });

  it('is told much in messages of some hundred things each, every bucket whole in one of them', () => {
    const hosts = HOST_IDS.map((_, at) => host(at));
    const all = ENDPOINT_IDS.map((_, at) => endpoint(at, 1n));
    const known = knownFrom(viewOf(network(1n), hosts, all));
    const view = viewOf(
      network(1n),
      hosts,
      all.map((each, at) => (at % 20 === 0 ? endpoint(at, 2n) : each)),
    );
    const replacements = read(ask(view, digestOf(known)) ?? []);
    expect(replacements.length).toBeGreaterThan(3);
    const buckets: number[] = [];
    for (const each of replacements) {
      if (each.kind !== 'replacement') throw new Error(each.kind);
      expect(each.endpoints.length + each.peers.length).toBeLessThanOrEqual(256);
      buckets.push(...each.buckets);
    }
    expect(new Set(buckets).size).toBe(buckets.length);
    expect(plain(fold(known, replacements))).toEqual(plain(knownFrom(view)));
  });
});
