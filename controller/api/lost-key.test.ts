import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchCreateEndpointsRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { lostKey } from './lost-key.js';

/** A map with any key, which an object literal and the generated `fromPartial` do not make. */
const map = (key: string): Record<string, string> =>
  Object.fromEntries([
    ['first', '1'],
    [key, 'x'],
  ]);

const inNetwork = (request: CreateNetworkRequest) => {
  const bytes = Buffer.from(CreateNetworkRequest.encode(request).finish());
  return lostKey(bytes, (each) => CreateNetworkRequest.decode(each));
};
const network = (fields: Partial<CreateNetworkRequest>): CreateNetworkRequest => ({
  ...CreateNetworkRequest.fromPartial({ name: 'web' }),
  ...fields,
});
const subnet = { cidr: '10.1.0.0/24', gateway: '', ipRange: '', auxAddresses: {} };

describe('the key that generated code loses', () => {
  it('is lost by it', () => {
    const bytes = CreateNetworkRequest.encode(network({ labels: map('__proto__') })).finish();
    expect(Object.keys(CreateNetworkRequest.decode(bytes).labels)).toEqual(['first']);
  });

  it.each([
    ['labels["__proto__"]', { labels: map('__proto__') }],
    ['options["__proto__"]', { options: map('__proto__') }],
    ['subnets[1].aux_addresses["__proto__"]', { subnets: [subnet, { ...subnet, auxAddresses: map('__proto__') }] }],
  ])('is found at %s', (field, fields) => {
    expect(inNetwork(network(fields))).toEqual({ field, description: '"__proto__" cannot be a key' });
  });

  it('is found in a batch', () => {
    const { requests, ...rest } = BatchCreateEndpointsRequest.fromPartial({ requests: [{}, {}] });
    const batch = { ...rest, requests: requests.map((each) => ({ ...each, labels: map('__proto__') })) };
    const bytes = Buffer.from(BatchCreateEndpointsRequest.encode(batch).finish());
    expect(lostKey(bytes, (each) => BatchCreateEndpointsRequest.decode(each))?.field).toBe(
      'requests[0].labels["__proto__"]',
    );
  });

  it.each([
    ['in a value', { labels: { a: '__proto__', b: '\n\t__proto__' } }],
    ['in a name', { name: '\n\t__proto__', id: '__proto__' }],
    ['in part of a key', { labels: { a__proto__: '', __proto__b: '' } }],
    ['nowhere', {}],
  ])('is not seen %s', (_, fields) => {
    expect(inNetwork(network(fields))).toBeUndefined();
  });

  it('is the only one', () => {
    const key = fc.oneof(
      fc.constantFrom('constructor', 'prototype', 'toString', '__defineGetter__', 'hasOwnProperty', '', '0'),
      fc.string({ unit: 'grapheme' }),
    );
    fc.assert(
      fc.property(
        key.filter((each) => each !== '__proto__'),
        (each) => {
          const request = network({ labels: Object.fromEntries([[each, 'x']]) });
          expect(inNetwork(request)).toBeUndefined();
          const read = CreateNetworkRequest.decode(CreateNetworkRequest.encode(request).finish());
          expect(Object.entries(read.labels)).toEqual([[each, 'x']]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
