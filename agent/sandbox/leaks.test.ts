import { expect, it } from 'vitest';
import type { HostId } from '../../core/ids.js';
import { hostId, testEndpoint, testNetwork, testPeer, viewOf } from '../state/testing.js';
import { leaksOf } from './leaks.js';

it('are ready endpoints of this host whose sandboxes it does not know', () => {
  const on = (endpoint: number, sandbox: string, more: Partial<Parameters<typeof testEndpoint>[0]> = {}) =>
    testEndpoint({ network: 1, endpoint, host: 1, sandbox, state: 'ready', ...more });
  const leaked = on(1, 'gone');
  const view = viewOf(1, {
    networks: [testNetwork(1)],
    endpoints: [
      leaked,
      on(2, 'a'),
      on(3, 'wished', { state: 'pending' }),
      on(4, 'going', { state: 'removing' }),
      on(5, 'gone', { host: 2 }),
    ],
    peers: [testPeer(1), testPeer(2)],
  });
  const known = {
    view,
    unreachable: new Set<HostId>(),
    revision: 1n,
    clusterId: 'c',
    epoch: 'e',
    incarnation: 1,
    session: 's',
  };
  expect(leaksOf(known, { hostId: hostId(1), sandboxes: ['A'], unreadable: [] })).toEqual([leaked.id]);
  expect(leaksOf(known, { hostId: hostId(1), sandboxes: ['a', 'gone'], unreadable: [] })).toEqual([]);
  expect(leaksOf(known, { hostId: hostId(1), sandboxes: [], unreadable: ['b'] })).toEqual([]);
});
