import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipFromNumber, makeCidr, type IpAddress } from '../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../core/ids.js';
import { randomMac } from '../core/mac.js';
import type { Endpoint, Host, Network } from '../core/model.js';
import {
  decodeChange,
  decodeEndpoint,
  decodeHost,
  decodeNetwork,
  encodeEndpoint,
  encodeHost,
  encodeNetwork,
  WireError,
} from './codec.js';
import { NetworkChange } from './gen/weft/v1/agent_sync.js';
import { Endpoint as EndpointMessage, EndpointState } from './gen/weft/v1/endpoint.js';
import { Host as HostMessage } from './gen/weft/v1/host.js';
import { Network as NetworkMessage } from './gen/weft/v1/network.js';

const name = fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?$/);
const labels = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string());
const revision = fc.bigInt(0n, 2n ** 62n);
const createTimeMs = fc.integer({ min: 0, max: 4e12 });
const ipv4 = fc.bigInt(0n, 2n ** 32n - 1n).map((number) => ipFromNumber(4, number));
const ipv6 = fc.bigInt(2n ** 64n, 2n ** 128n - 1n).map((number) => ipFromNumber(6, number));

const anyNetwork: fc.Arbitrary<Network> = fc.record({
  id: fc.constant(null).map(() => newNetworkId()),
  name,
  driver: fc.constant('overlay' as const),
  vni: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
  subnets: fc.array(
    fc.record({
      cidr: fc.integer({ min: 0, max: 255 }).map((n) => makeCidr(4, BigInt(n) << 24n, 8)),
      gateway: ipv4,
      ipRange: fc.constantFrom(undefined, makeCidr(6, 0n, 64)),
      auxAddresses: fc.dictionary(name, ipv6),
    }),
    { maxLength: 3 },
  ),
  internal: fc.boolean(),
  mtu: fc.constantFrom(undefined, 1400),
  labels,
  options: labels,
  revision,
  requestId: fc.string(),
  createTimeMs,
});

const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record({
  id: fc.constant(null).map(() => newEndpointId()),
  networkId: fc.constant(null).map(() => newNetworkId()),
  hostId: fc.constant(null).map(() => newHostId()),
  sandbox: name,
  name,
  aliases: fc.array(name, { maxLength: 3 }),
  addresses: fc.tuple(ipv4, ipv6).map((pair): readonly IpAddress[] => pair),
  mac: fc.constant(null).map(() => randomMac()),
  labels,
  state: fc.constantFrom('pending' as const, 'ready' as const, 'removing' as const),
  revision,
  requestId: fc.string(),
  createRevision: revision,
  createTimeMs,
});

const anyHost: fc.Arbitrary<Host> = fc.record({
  id: fc.constant(null).map(() => newHostId()),
  name,
  vtep: fc.oneof(ipv4, ipv6),
  number: fc.integer({ min: 1, max: 0xffff }),
  version: fc.string(),
  prefixes: fc.array(
    fc.integer({ min: 0, max: 255 }).map((n) => makeCidr(4, BigInt(n) << 24n, 8)),
    { maxLength: 3 },
  ),
  declaredEpoch: fc.string(),
  availability: fc.constantFrom('active', 'drained', 'removed'),
  incarnation: fc.integer({ min: 1, max: 0xffff_ffff }),
  absence: fc.constantFrom('none', 'lost', 'fenced'),
  revision,
});

describe('the wire', () => {
  it('carries networks, endpoints and hosts as bytes and as JSON', () => {
    fc.assert(
      fc.property(anyNetwork, anyEndpoint, anyHost, (network, endpoint, host) => {
        const bytes = NetworkMessage.encode(encodeNetwork(network)).finish();
        expect(decodeNetwork(NetworkMessage.decode(bytes))).toEqual(network);
        expect(decodeNetwork(NetworkMessage.fromJSON(NetworkMessage.toJSON(encodeNetwork(network))))).toEqual(network);
        expect(
          decodeEndpoint(EndpointMessage.decode(EndpointMessage.encode(encodeEndpoint(endpoint)).finish())),
        ).toEqual(endpoint);
        expect(decodeHost(HostMessage.decode(HostMessage.encode(encodeHost(host)).finish()))).toEqual(host);
      }),
      { numRuns: 50 },
    );
  });

  it('writes 64-bit revisions as strings in JSON', () => {
    const [network] = fc.sample(anyNetwork, 1);
    if (network === undefined) throw new Error('no sample');
    expect(NetworkMessage.toJSON(encodeNetwork({ ...network, revision: 2n ** 60n }))).toMatchObject({
      revision: String(2n ** 60n),
    });
  });

  it('refuses what no correct peer sends, naming the field', () => {
    const [network] = fc.sample(anyNetwork, 1);
    const [endpoint] = fc.sample(anyEndpoint, 1);
    const [host] = fc.sample(anyHost, 1);
    if (network === undefined || endpoint === undefined || host === undefined) throw new Error('no sample');
    const wrongNetwork = (part: Partial<NetworkMessage>) => () => decodeNetwork({ ...encodeNetwork(network), ...part });
    const wrongEndpoint = (part: Partial<EndpointMessage>) => () =>
      decodeEndpoint({ ...encodeEndpoint(endpoint), ...part });
    const wrongHost = (part: Partial<HostMessage>) => () => decodeHost({ ...encodeHost(host), ...part });
    const table: [string, () => unknown][] = [
      ['network.id', wrongNetwork({ id: 'x' })],
      ['network.name', wrongNetwork({ name: '../etc' })],
      ['network.driver', wrongNetwork({ driver: 'carrier-pigeon' })],
      ['network.vni', wrongNetwork({ vni: 0 })],
      ['network.vni', wrongNetwork({ vni: 2 ** 24 })],
      [
        'network.subnets.cidr',
        wrongNetwork({
          subnets: [{ cidr: '10.0.0.1/8', gateway: '', ipRange: '', auxAddresses: {}, usage: undefined }],
        }),
      ],
      ['endpoint.name', wrongEndpoint({ name: 'a\nb' })],
      ['endpoint.name', wrongEndpoint({ aliases: ['a.b'] })],
      ['endpoint.addresses', wrongEndpoint({ addresses: ['10.0.0.256'] })],
      ['endpoint.mac', wrongEndpoint({ mac: '02:00' })],
      ['endpoint.state', wrongEndpoint({ state: EndpointState.ENDPOINT_STATE_UNSPECIFIED })],
      ['endpoint.host_id', wrongEndpoint({ hostId: '' })],
      ['host.number', wrongHost({ number: 0 })],
      ['host.number', wrongHost({ number: 70_000 })],
      ['host.vtep', wrongHost({ vtep: 'h1' })],
      ['change.network_id', () => decodeChange(NetworkChange.fromPartial({}))],
    ];
    for (const [field, run] of table) {
      expect(run, field).toThrow(WireError);
      expect(run, field).toThrow(`${field}: `);
    }
  });
});
