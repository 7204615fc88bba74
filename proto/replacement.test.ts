import { describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../core/address.js';
import type { Replacement } from '../core/fold.js';
import { newEndpointId, newHostId, newNetworkId } from '../core/ids.js';
import { randomMac } from '../core/mac.js';
import { WireError } from './codec.js';
import { SyncResponse, type NetworkReplacement } from './gen/weft/v1/agent_sync.js';
import { decodeReplacement, encodeReplacement } from './replacement.js';

const ADDRESS = parseIp('192.0.2.1') ?? ('' as IpAddress);
const ID = newNetworkId();
const REPLACEMENT: Replacement = {
  ...{ kind: 'replacement', networkId: ID, bucketCount: 8, buckets: [0, 3, 7] },
  network: {
    ...{ id: ID, name: 'web', driver: 'overlay', vni: 7, subnets: [], internal: false, mtu: undefined },
    ...{ labels: { a: 'b' }, options: {}, revision: 3n, requestId: '', createTimeMs: 0 },
  },
  endpoints: [
    {
      ...{ id: newEndpointId(), networkId: ID, hostId: newHostId(), sandbox: 'a', name: 'a', aliases: [], labels: {} },
      ...{ addresses: [ADDRESS], mac: randomMac(), state: 'ready', revision: 4n, requestId: '', createRevision: 4n },
      createTimeMs: 0,
    },
  ],
  peers: [{ hostId: newHostId(), vtep: ADDRESS, number: 1 }],
};

const messageOf = (replacement: Replacement): NetworkReplacement => {
  const { message } = SyncResponse.decode(encodeReplacement(replacement, 9n));
  if (message?.$case !== 'replacement') throw new Error('no replacement');
  return message.value;
};

describe('a replacement on the wire', () => {
  it.each<[string, Replacement]>([
    ['with all that it may have', REPLACEMENT],
    ['of nothing in a bucket', { ...REPLACEMENT, network: undefined, buckets: [1], endpoints: [], peers: [] }],
    ['of settings alone', { ...REPLACEMENT, bucketCount: 1, buckets: [], endpoints: [], peers: [] }],
  ])('comes out as it went in: %s', (_, replacement) => {
    expect(messageOf(replacement).revision).toBe(9n);
    expect(decodeReplacement(messageOf(replacement))).toEqual(replacement);
  });

  it.each<[string, Partial<NetworkReplacement>]>([
    ['replacement.network_id', { networkId: 'none' }],
    ['replacement.bucket_count', { bucketCount: 0 }],
    ['replacement.bucket_count', { bucketCount: 12 }],
    ['replacement.bucket_count', { bucketCount: 131_072 }],
    ['replacement.buckets', { buckets: [8] }],
  ])('is refused for its %s', (field, fields) => {
    expect(() => decodeReplacement({ ...messageOf(REPLACEMENT), ...fields })).toThrow(WireError);
    expect(() => decodeReplacement({ ...messageOf(REPLACEMENT), ...fields })).toThrow(field);
  });
});
