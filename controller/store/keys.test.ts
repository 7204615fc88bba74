import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  newEndpointId,
  newHostId,
  newNetworkId,
  type EndpointId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { GUARDS, OBJECTS, endpointsOf, guardKey, isGuardKey, objectKey, parseObjectKey } from './keys.js';

const HOSTS = `${OBJECTS}hosts/`;
const NETWORKS = `${OBJECTS}networks/`;
const ENDPOINTS = `${OBJECTS}endpoints/`;

const network = '3b0f5b1e-8c4f-4f0a-9d1c-0a1b2c3d4e5f' as NetworkId;
const host = '0d9a7c52-1f60-4b39-8f6e-2b8f4c1d7e90' as HostId;

describe('keys', () => {
  it('stand where the design says', () => {
    expect([
      objectKey.meta(),
      objectKey.network(network),
      endpointsOf(network),
      guardKey.networkName('Blue'),
      guardKey.hostName('h1'),
      guardKey.hostNumber(7),
      guardKey.address(network, '2001:db8::2'),
      guardKey.mac(network, '02:00:00:00:00:01'),
      guardKey.endpoint('5e0c1f7a-2b3d-4c4e-8f5a-6b7c8d9e0f1a' as EndpointId),
      guardKey.vtep('192.0.2.1'),
      guardKey.vni(4096),
      guardKey.sandbox(host, 'Box'),
      guardKey.space('default'),
    ]).toEqual([
      '/weft/v1/o/meta',
      `/weft/v1/o/networks/${network}`,
      `/weft/v1/o/endpoints/${network}/`,
      '/weft/v1/g/names/network/blue',
      '/weft/v1/g/names/host/h1',
      '/weft/v1/g/numbers/host/7',
      `/weft/v1/g/addresses/${network}/2001:db8::2`,
      `/weft/v1/g/macs/${network}/02:00:00:00:00:01`,
      '/weft/v1/g/endpoints/5e0c1f7a-2b3d-4c4e-8f5a-6b7c8d9e0f1a',
      '/weft/v1/g/vteps/192.0.2.1',
      '/weft/v1/g/vnis/4096',
      `/weft/v1/g/sandboxes/${host}/box`,
      '/weft/v1/g/spaces/default',
    ]);
  });

  it('of guards are known as such, each kind, and none else', () => {
    const endpoint = newEndpointId();
    const every: { readonly [Kind in keyof typeof guardKey]: string } = {
      networkName: guardKey.networkName('Blue'),
      hostName: guardKey.hostName('h1'),
      hostNumber: guardKey.hostNumber(7),
      address: guardKey.address(network, '2001:db8::2'),
      endpoint: guardKey.endpoint(endpoint),
      mac: guardKey.mac(network, '02:00:00:00:00:01'),
      vtep: guardKey.vtep('192.0.2.1'),
      vni: guardKey.vni(4096),
      sandbox: guardKey.sandbox(host, 'Box'),
      multihomed: guardKey.multihomed(network),
      networkQuota: guardKey.networkQuota(network),
      hostQuota: guardKey.hostQuota(host),
      removedHost: guardKey.removedHost(host),
      epoch: guardKey.epoch(endpoint),
      space: guardKey.space('default'),
    };
    for (const key of Object.values(every)) expect([key, isGuardKey(key)]).toEqual([key, true]);
    const none = ['', 'names/', 'names/service/a/b', 'vnis', 'vnis/', 'vnis/1/2', 'ports/tcp/80/*/any', 'macs/a'];
    for (const key of [objectKey.meta(), ...none.map((rest) => GUARDS + rest)]) {
      expect([key, isGuardKey(key)]).toEqual([key, false]);
    }
  });

  it('of objects are read back as what they were made of', () => {
    const endpoint = newEndpointId();
    expect(parseObjectKey(objectKey.meta())).toEqual({ kind: 'meta' });
    expect(parseObjectKey(objectKey.host(host))).toEqual({ kind: 'host', id: host });
    expect(parseObjectKey(objectKey.network(network))).toEqual({ kind: 'network', id: network });
    expect(parseObjectKey(objectKey.endpoint(network, endpoint))).toEqual({
      kind: 'endpoint',
      networkId: network,
      id: endpoint,
    });
  });

  it.each([
    '',
    OBJECTS,
    HOSTS,
    NETWORKS,
    ENDPOINTS,
    endpointsOf(network),
    `${endpointsOf(network)}no-uuid`,
    `${ENDPOINTS}${network}`,
    `${NETWORKS}${network}/more`,
    `${NETWORKS}${network.toUpperCase()}`,
    `${objectKey.endpoint(network, newEndpointId())}/more`,
    `${OBJECTS}meta/more`,
    `${OBJECTS}services/${network}/${newEndpointId()}`,
    `${GUARDS}networks/${network}`,
    `/other${NETWORKS}${network}`,
  ])('that are none of an object are no object: %s', (key) => {
    expect(parseObjectKey(key)).toBeUndefined();
  });

  it('never reach out of their place', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        if (text === '' || text.includes('/')) {
          expect(() => guardKey.space(text)).toThrow(RangeError);
          expect(() => guardKey.networkName(text)).toThrow(RangeError);
          expect(() => guardKey.sandbox(newHostId(), text)).toThrow(RangeError);
          expect(() => guardKey.address(newNetworkId(), text)).toThrow(RangeError);
        } else {
          expect(guardKey.space(text).split('/')).toHaveLength(6);
        }
      }),
    );
    for (const number of [-1, 1.5, Number.NaN, 2 ** 53]) expect(() => guardKey.vni(number)).toThrow(RangeError);
  });
});
