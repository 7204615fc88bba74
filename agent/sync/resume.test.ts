import { describe, expect, it } from 'vitest';
import type { HostView } from '../../core/fold.js';
import { bucketCountFor, DIGEST_BYTES } from '../../core/digest.js';
import { networkId, testEndpoint, testNetwork, testPeer } from '../state/testing.js';
import { offerOf } from './resume.js';

/** Networks 1 and on, of so many endpoints. */
const viewOf = (...sizes: readonly number[]): HostView =>
  new Map(
    sizes.map((size, index) => {
      const network = index + 1;
      const endpoints = Array.from({ length: size }, (_, at) =>
        testEndpoint({ network, endpoint: at + 1, host: 2, sandbox: `s${String(at)}` }),
      );
      const things = {
        network: testNetwork(network),
        endpoints: new Map(endpoints.map((each) => [each.id, each])),
        peers: new Map([[testPeer(2).hostId, testPeer(2)]]),
      };
      return [networkId(network), things];
    }),
  );

describe('what is offered', () => {
  it('is every network, with as many digests as it has buckets', () => {
    const view = viewOf(0, 1, 80);
    const offer = offerOf({ view, format: 7 });
    expect(offer.resume.format).toBe(7);
    expect(offer.resume.networks.map(({ digests }) => digests.length / DIGEST_BYTES)).toEqual(
      [1, 2, 81].map(bucketCountFor),
    );
    expect(offer.view).toEqual(view);
  });

  it('is what a hello has room for, and nothing counts as had that was not offered', () => {
    const view = viewOf(1, 80, 2, 3, 4);
    const byBuckets = offerOf({ view, format: 1 }, { networks: 10, buckets: 4 });
    expect([...byBuckets.view.keys()]).toEqual([1, 3, 4, 5].map(networkId));
    const byNetworks = offerOf({ view, format: 1 }, { networks: 2, buckets: 100 });
    expect([...byNetworks.view.keys()]).toEqual([1, 2].map(networkId));
    expect(byNetworks.resume.networks.map((each) => each.networkId)).toEqual([1, 2].map(networkId));
  });
});
