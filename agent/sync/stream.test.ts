import { describe, expect, it } from 'vitest';
import { encodeFrame } from '../../proto/frame.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { networkId, testEndpoint, testNetwork, testPeer } from '../state/testing.js';
import { StreamReader } from './stream.js';

const WELCOME = SyncResponse.fromPartial({ message: { $case: 'welcome', value: { epoch: 'e', session: 's' } } });
const IN_SYNC = SyncResponse.fromPartial({ message: { $case: 'inSync', value: { revision: 5n } } });
const DROP = SyncResponse.fromPartial({ message: { $case: 'drop', value: { networkId: networkId(2), revision: 5n } } });
const CHANGE = SyncResponse.fromPartial({ message: { $case: 'change', value: { networkId: networkId(1) } } });
const ENDPOINTS = Array.from({ length: 20 }, (_, at) =>
  testEndpoint({ network: 1, endpoint: at + 1, host: 2, sandbox: 's' }),
);

/** A network's frame in parts of one thing each. */
function parts(number: number): readonly SyncResponse[] {
  const frame = { revision: 5n, network: testNetwork(number), endpoints: ENDPOINTS, peers: [testPeer(2)] };
  return encodeFrame(frame, 1).map((part) => SyncResponse.decode(part));
}

describe('a network that comes in parts', () => {
  it('is known whole at the InSync that follows, and not at all before', () => {
    const reader = new StreamReader();
    reader.read(WELCOME);
    expect(parts(1)).toHaveLength(22);
    for (const part of [...parts(1), ...parts(3)]) expect(reader.read(part)).toEqual({ kind: 'none' });
    const event = reader.read(IN_SYNC);
    if (event.kind !== 'known') throw new Error(event.kind);
    expect([...event.known.view.keys()]).toEqual([networkId(1), networkId(3)]);
    const known = event.known.view.get(networkId(1));
    expect([known?.endpoints.size, known?.peers.size]).toEqual([20, 1]);
  });

  it.each<[string, SyncResponse]>([
    ['InSync', IN_SYNC],
    ['a change', CHANGE],
    ['a drop', DROP],
    ['another welcome', WELCOME],
    ['what nobody here knows', SyncResponse.fromPartial({})],
    ['another network', parts(2)[0] ?? IN_SYNC],
  ])('is not taken for whole when %s comes amid its parts', (_, message) => {
    for (let count = 1; count < parts(1).length; count += 1) {
      const reader = new StreamReader();
      reader.read(WELCOME);
      for (const part of parts(1).slice(0, count)) reader.read(part);
      expect(() => reader.read(message)).toThrow(/amid the frame|frame\.network/);
    }
  });

  it('is not taken for whole when a part of another revision comes, or its beginning is missing', () => {
    const reader = new StreamReader();
    const [first, second] = parts(1);
    if (first === undefined || second?.message?.$case !== 'frame') throw new Error('no parts');
    expect(() => reader.read(second)).toThrow('frame.network');
    reader.read(first);
    const other = { message: { $case: 'frame' as const, value: { ...second.message.value, revision: 6n } } };
    expect(() => reader.read(other)).toThrow('frame.revision');
  });
});
