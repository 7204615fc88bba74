import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Cidr, IpAddress } from './address.js';
import { fold, UnknownNetwork, type Change, type HostView, type Snapshot } from './fold.js';
import type { EndpointId, HostId, NetworkId } from './ids.js';
import type { Mac } from './mac.js';
import type { Endpoint, Network, Peer } from './model.js';

const network = (id: string, name = id): Network => ({
  id: id as NetworkId,
  name,
  driver: 'overlay',
  vni: 1,
  subnets: [{ cidr: '10.1.0.0/24' as Cidr, gateway: '10.1.0.1' as IpAddress, ipRange: undefined, auxAddresses: {} }],
  internal: false,
  mtu: undefined,
  labels: {},
  options: {},
  revision: 1n,
  requestId: '',
  createTimeMs: 0,
});

const endpoint = (id: string, networkId = 'n1', state: Endpoint['state'] = 'ready'): Endpoint => ({
  id: id as EndpointId,
  networkId: networkId as NetworkId,
  hostId: 'h1' as HostId,
  sandbox: id,
  name: id,
  aliases: [],
  addresses: ['10.1.0.2' as IpAddress],
  mac: '02:00:00:00:00:01' as Mac,
  labels: {},
  state,
  revision: 1n,
  requestId: '',
  createRevision: 1n,
  createTimeMs: 0,
});

const peer = (hostId: string): Peer => ({ hostId: hostId as HostId, vtep: '192.0.2.1' as IpAddress, number: 1 });

const snapshot = (id: string, endpoints: Endpoint[] = [], peers: Peer[] = []): Snapshot => ({
  kind: 'snapshot',
  network: network(id),
  endpoints,
  peers,
});

const change = (networkId: string, parts: Partial<Extract<Change, { kind: 'change' }>> = {}): Change => ({
  kind: 'change',
  networkId: networkId as NetworkId,
  network: undefined,
  putEndpoints: [],
  dropEndpoints: [],
  putPeers: [],
  dropPeers: [],
  ...parts,
});

const drop = (networkId: string): Change => ({ kind: 'drop', networkId: networkId as NetworkId });

const empty: HostView = new Map();
const idsIn = (view: HostView, id: string): string[] => [...(view.get(id as NetworkId)?.endpoints.keys() ?? [])];

describe('fold', () => {
  it('takes a snapshot in place of all that was known', () => {
    const first = fold(empty, [snapshot('n1', [endpoint('a'), endpoint('b')], [peer('h1')])]);
    const second = fold(first, [snapshot('n1', [endpoint('c')])]);
    expect(idsIn(second, 'n1')).toEqual(['c']);
    expect(second.get('n1' as NetworkId)?.peers.size).toBe(0);
    expect(idsIn(first, 'n1')).toEqual(['a', 'b']);
  });

  it('puts and drops endpoints and peers, and keeps the settings a change does not name', () => {
    const first = fold(empty, [snapshot('n1', [endpoint('a')], [peer('h1')])]);
    const second = fold(first, [
      change('n1', { putEndpoints: [endpoint('b')], putPeers: [peer('h2')] }),
      change('n1', { dropEndpoints: ['a' as EndpointId], dropPeers: ['h1' as HostId] }),
      change('n1', { network: network('n1', 'renamed') }),
    ]);
    const known = second.get('n1' as NetworkId);
    expect(idsIn(second, 'n1')).toEqual(['b']);
    expect([...(known?.peers.keys() ?? [])]).toEqual(['h2']);
    expect(known?.network.name).toBe('renamed');
    expect(idsIn(first, 'n1')).toEqual(['a']);
  });

  it('forgets a network that left the span', () => {
    expect(fold(fold(empty, [snapshot('n1'), snapshot('n2')]), [drop('n1')]).has('n1' as NetworkId)).toBe(false);
  });

  it('says so when a change comes for a network it was never told of', () => {
    expect(() => fold(empty, [change('n1')])).toThrow(UnknownNetwork);
    expect(() => fold(empty, [snapshot('n1'), drop('n1'), change('n1')])).toThrow(UnknownNetwork);
  });

  it('comes out the same however the items are cut into batches, and leaves its input alone', () => {
    const ids = ['n1', 'n2'];
    const item = fc.oneof(
      fc
        .record({ network: fc.constantFrom(...ids), id: fc.constantFrom('a', 'b', 'c') })
        .map((r) => change(r.network, { putEndpoints: [endpoint(r.id, r.network)] })),
      fc
        .record({ network: fc.constantFrom(...ids), id: fc.constantFrom('a', 'b', 'c') })
        .map((r) => change(r.network, { dropEndpoints: [r.id as EndpointId] })),
      fc.constantFrom(...ids).map((id): Snapshot => snapshot(id, [endpoint('z', id)])),
    );
    fc.assert(
      fc.property(fc.array(item, { maxLength: 20 }), fc.nat(20), (items, cut) => {
        const start = fold(
          empty,
          ids.map((id) => snapshot(id)),
        );
        const whole = fold(start, items);
        expect(fold(fold(start, items.slice(0, cut)), items.slice(cut))).toEqual(whole);
        expect(idsIn(start, 'n1')).toEqual([]);
      }),
    );
  });
});
