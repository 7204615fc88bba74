import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import type { Cidr, IpAddress } from '../../core/address.js';
import type { HostView } from '../../core/fold.js';
import type { HostId } from '../../core/ids.js';
import type { Subnet } from '../../core/model.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeFollowed, encodeFollowed, FollowedFile, followedOf, hasByRecords } from './followed.js';
import { HoldOver } from './hold-over.js';
import { hostId, networkId, sandboxesOf, testEndpoint, testNetwork, testPeer, viewOf } from './testing.js';

const NETWORKS = [testNetwork(1), testNetwork(2, { mtu: 1300, labels: { a: 'b' }, options: { mtu: '1300' } })];
const PEERS = [testPeer(1), testPeer(2)];
const A = testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a', state: 'ready' });
const B = testEndpoint({ network: 1, endpoint: 2, host: 2, sandbox: 'b', state: 'ready' });
const GOING = testEndpoint({ network: 2, endpoint: 3, host: 1, sandbox: 'c', state: 'removing' });
const WISH = testEndpoint({ network: 2, endpoint: 4, host: 1, sandbox: 'nobody' });
const known = (epoch: string, endpoints = [A, B, GOING, WISH]) => ({
  view: viewOf(1, { networks: NETWORKS, endpoints, peers: PEERS }),
  revision: 7n,
  clusterId: 'c',
  epoch,
  session: 's',
  incarnation: 1,
  unreachable: new Set<HostId>(),
});
const has = hasByRecords({ sandboxes: sandboxesOf(1, [A, GOING]), unreadable: [] });

describe('what a host followed', () => {
  it('is its own endpoints that are to stay, and their networks', () => {
    expect(followedOf(known('e1'), hostId(1), has)).toEqual({
      ...{ clusterId: 'c', epoch: 'e1', networks: [NETWORKS[0]], endpoints: [A] },
    });
    const unreadable = hasByRecords({ sandboxes: [], unreadable: ['nobody'] });
    expect(followedOf(known('e1'), hostId(1), unreadable).endpoints).toEqual([WISH]);
  });

  it('is the same when read again', () => {
    const followed = { clusterId: 'c', epoch: 'e1', networks: NETWORKS, endpoints: [A, WISH] };
    expect(decodeFollowed(encodeFollowed(followed))).toEqual(followed);
    // Of an agent that did not write the cluster down.
    const older = encodeFollowed(followed).replace('"clusterId":"c",', '');
    expect(decodeFollowed(older)).toEqual({ ...followed, clusterId: '' });
    for (const text of ['', '{}', '{"version":1,"epoch":"e","networks":[{}],"endpoints":[]}']) {
      expect(() => decodeFollowed(text)).toThrow();
    }
  });
});

describe('its file', () => {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'weft-followed-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });
  const open = () =>
    FollowedFile.open({ stateDirectory: directory, hostId: hostId(1), has: () => has, log: pino({ level: 'silent' }) });

  it('tells after a restart what was followed before, until something newer is followed', async () => {
    {
      await using file = await open();
      expect(file.value.epoch).toBe('');
      file.take(known('e1'));
    }
    await using file = await open();
    expect([file.value.clusterId, file.value.epoch, file.value.endpoints]).toEqual(['c', 'e1', [A]]);
    file.take(known('e2', [B]));
    expect([file.value.epoch, file.value.endpoints]).toEqual(['e2', []]);
  });

  it('that cannot be read counts as nothing, and is written anew', async () => {
    writeFileSync(path.join(directory, 'followed.json'), '{"version":');
    {
      await using file = await open();
      expect(file.value.epoch).toBe('');
      file.take(known('e1'));
    }
    expect(decodeFollowed(readFileSync(path.join(directory, 'followed.json'), 'utf8')).epoch).toBe('e1');
  });
});

describe('holding over', () => {
  it('keeps other hosts’ endpoints, but in nobody’s place and never against what the new view once told', () => {
    const peer2 = testPeer(2);
    const before = viewOf(1, { networks: NETWORKS, endpoints: [A, B, WISH], peers: PEERS });
    const alone = viewOf(1, { networks: NETWORKS, endpoints: [A], peers: [testPeer(1)] });
    const over = new HoldOver(before, hostId(1));
    const held = over.over(alone).get(networkId(1));
    expect([...(held?.endpoints.keys() ?? [])]).toEqual([A.id, B.id]);
    expect(held?.peers.get(peer2.hostId)).toEqual(peer2);
    expect(over.over(alone).has(networkId(2))).toBe(false);
    const squatter = { ...testEndpoint({ network: 1, endpoint: 9, host: 1, sandbox: 'z' }), addresses: B.addresses };
    const taken = viewOf(1, { networks: NETWORKS, endpoints: [A, squatter], peers: PEERS });
    expect([...(over.over(taken).get(networkId(1))?.endpoints.keys() ?? [])]).toEqual([A.id, squatter.id]);
    // As large as it was, until it is larger, or has another gateway.
    const [present] = NETWORKS[0]?.subnets ?? [];
    if (present === undefined) throw new Error('no subnet');
    const withSubnets = (...subnets: Subnet[]) =>
      viewOf(1, { networks: [testNetwork(1, { subnets })], endpoints: [A, B], peers: PEERS });
    const large = { ...present, cidr: '10.0.0.0/8' as Cidr };
    const subnetsOver = (was: HostView, is: HostView) =>
      new HoldOver(was, hostId(1)).over(is).get(networkId(1))?.network.subnets;
    expect(subnetsOver(withSubnets(large), withSubnets(present))).toEqual([large]);
    expect(subnetsOver(before, withSubnets(present))).toEqual(NETWORKS[0]?.subnets);
    expect(subnetsOver(withSubnets(present), withSubnets(large))).toEqual([large]);
    const moved = { ...present, gateway: '10.1.0.9' as IpAddress };
    expect(subnetsOver(withSubnets(large), withSubnets(moved))).toEqual([moved]);
    over.over(before);
    expect(over.over(alone).get(networkId(1))).toBe(alone.get(networkId(1)));
  });
});
