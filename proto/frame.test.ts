import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../core/ids.js';
import { randomMac } from '../core/mac.js';
import type { Endpoint, Network, Peer } from '../core/model.js';
import { encodeEndpoint, encodeNetwork, encodePeer, WireError } from './codec.js';
import { encodeFrame, FrameReader, type Frame } from './frame.js';
import { NetworkFrame, SyncResponse } from './gen/weft/v1/agent_sync.js';

const ADDRESS = parseIp('192.0.2.1') ?? ('' as IpAddress);

const network: Network = {
  ...{ id: newNetworkId(), name: 'web', driver: 'overlay', vni: 7, subnets: [], internal: false, mtu: undefined },
  ...{ labels: { a: 'b' }, options: {}, revision: 3n, requestId: '', createTimeMs: 0 },
};
const endpoint = (filler: number): Endpoint => ({
  ...{ id: newEndpointId(), networkId: network.id, hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [] },
  ...{ addresses: [ADDRESS], mac: randomMac(), labels: { filler: 'x'.repeat(filler) }, state: 'ready' },
  ...{ revision: 4n, requestId: '', createRevision: 4n, createTimeMs: 0 },
});
const peer = (): Peer => ({ hostId: newHostId(), vtep: ADDRESS, number: 1 });

const anyFrame = fc.record({
  revision: fc.bigInt(1n, 2n ** 62n),
  network: fc.constant(network),
  endpoints: fc.array(fc.integer({ min: 0, max: 400 }).map(endpoint), { maxLength: 100 }),
  peers: fc.array(fc.constant(null).map(peer), { maxLength: 100 }),
});

/** The frames in complete SyncResponses. */
const framesIn = (parts: readonly Uint8Array[]): NetworkFrame[] =>
  parts.map((part) => {
    const { message } = SyncResponse.decode(part);
    if (message?.$case !== 'frame') throw new Error('no frame');
    return message.value;
  });

/** What a reader makes of each message. */
const readAll = (messages: readonly NetworkFrame[]) => {
  const reader = new FrameReader();
  return messages.map((message) => reader.read(message));
};

describe("a network's frame", () => {
  it('is what it was once its last part is here, and nothing before, however small the parts', () => {
    fc.assert(
      fc.property(anyFrame, fc.integer({ min: 1, max: 4_000 }), (frame, partBytes) => {
        const parts = encodeFrame(frame, partBytes);
        const messages = framesIn(parts);
        expect(messages.map(({ more }) => more)).toEqual(messages.map((_, at) => at < messages.length - 1));
        expect(messages.every(({ revision }) => revision === frame.revision)).toBe(true);
        const read = readAll(messages);
        expect(read.slice(0, -1).every((each) => each === undefined)).toBe(true);
        const { endpoints, peers } = frame;
        expect(read.at(-1)).toEqual({ kind: 'snapshot', network, endpoints, peers });
      }),
      { numRuns: 100 },
    );
  });

  it('has parts no larger than they may be, but for one thing that is larger by itself', () => {
    fc.assert(
      fc.property(anyFrame, fc.integer({ min: 1, max: 4_000 }), (frame, partBytes) => {
        /** The message around the parts: its tag and length, the revision, and that there are more. */
        const around = 24;
        for (const [at, part] of encodeFrame(frame, partBytes).entries()) {
          const [message] = framesIn([part]);
          const things = (message?.endpoints.length ?? 0) + (message?.peers.length ?? 0) + (at === 0 ? 1 : 0);
          expect(part.length <= partBytes + around || things === 1).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is one message where it fits into one, the same that the generated code writes', () => {
    const frame: Frame = { revision: 9n, network, endpoints: [endpoint(100), endpoint(5)], peers: [peer(), peer()] };
    const value: NetworkFrame = {
      ...{ revision: 9n, network: encodeNetwork(network), more: false },
      endpoints: [...frame.endpoints].map(encodeEndpoint),
      peers: [...frame.peers].map(encodePeer),
    };
    const whole = SyncResponse.encode({ message: { $case: 'frame', value } }).finish();
    expect(framesIn(encodeFrame(frame))).toEqual(framesIn([whole]));
    expect(encodeFrame(frame).map(({ length }) => length)).toEqual([whole.length]);
  });

  it('that lacks a part, or has one of another, is never taken for whole', () => {
    const frame: Frame = {
      revision: 9n,
      network,
      endpoints: Array.from({ length: 9 }, () => endpoint(50)),
      peers: [peer()],
    };
    const [first, second, ...rest] = framesIn(encodeFrame(frame, 200));
    if (first === undefined || second === undefined) throw new Error('it has no parts');
    expect(() => readAll([second])).toThrow(WireError);
    expect(() => readAll([first, first])).toThrow('frame.network: ');
    expect(() => readAll([first, { ...second, revision: 10n }])).toThrow('frame.revision: ');
    expect(() => readAll([first, second, ...rest, second])).toThrow('frame.network: ');
    expect(() => readAll([NetworkFrame.fromPartial({})])).toThrow('frame.network: ');
    const reader = new FrameReader();
    reader.read(first);
    expect(reader.amid?.id).toBe(network.id);
    for (const part of [second, ...rest]) reader.read(part);
    expect(reader.amid).toBeUndefined();
    // The next one begins anew.
    for (const part of [first, second, ...rest.slice(0, -1)]) expect(reader.read(part)).toBeUndefined();
    expect(reader.read(rest.at(-1) ?? first)?.endpoints).toHaveLength(9);
  });
});
