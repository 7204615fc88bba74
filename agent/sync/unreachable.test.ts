import { describe, expect, it } from 'vitest';
import { WireError } from '../../proto/codec.js';
import type { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { hostId, testEndpoint, testNetwork, testPeer, viewOf } from '../state/testing.js';
import { Unreachable } from './unreachable.js';

const view = viewOf(1, {
  networks: [testNetwork(1)],
  endpoints: [testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' })],
  peers: [testPeer(1), testPeer(2)],
});
const liveness = (gone: readonly number[], back: readonly number[] = []) => ({
  unreachableHostIds: gone.map(hostId),
  reachableHostIds: back.map(hostId),
});

describe('peers that nobody hears from', () => {
  it('are what was said of each last, and nobody else', () => {
    const unreachable = new Unreachable();
    unreachable.take(liveness([2, 3]));
    unreachable.take(liveness([4], [3]));
    expect([...unreachable.hosts].sort()).toEqual([hostId(2), hostId(4)].sort());
  });

  it('are forgotten when they are no peers any more', () => {
    const unreachable = new Unreachable();
    unreachable.take(liveness([2, 3]));
    unreachable.keepPeersOf(view);
    expect([...unreachable.hosts]).toEqual([hostId(2)]);
    const before = unreachable.hosts;
    unreachable.keepPeersOf(view);
    expect(unreachable.hosts).toBe(before);
  });

  it('are hosts', () => {
    const value: NonNullable<SyncResponse['message']> = {
      $case: 'liveness',
      value: { unreachableHostIds: ['h2'], reachableHostIds: [] },
    };
    expect(() => {
      new Unreachable().take(value.value);
    }).toThrow(WireError);
  });
});
