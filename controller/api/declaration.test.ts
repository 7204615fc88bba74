import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newEndpointId, newNetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { encodeEndpoint, encodeNetwork } from '../../proto/codec.js';
import { EndpointState, type Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import type { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import { Operator, readCidr, readIp, wish } from '../domain/network.testing.js';
import { markReady } from '../domain/endpoint.js';
import { MemoryStore } from '../store/memory.js';
import { SILENT, openBrain, type Brain } from '../testing.js';
import { takeDeclaration } from './declaration.js';

const NEVER = new AbortController().signal;
const EPOCH = '7d1f9f0e-6a53-4b0e-9a8e-2f5cf1d1b001';

describe('a host that declares what no request could have asked for', () => {
  let brain: Brain;
  let operator: Operator;
  let host: Host;
  let other: Host;
  let blue: Network;
  let web: Endpoint;

  beforeEach(async () => {
    brain = await openBrain(new MemoryStore());
    operator = new Operator(brain);
    host = await operator.host(1);
    other = await operator.host(2);
    blue = await operator.create({ name: 'blue', subnets: [wish('10.1.0.0/24')] });
    web = await operator.attach(blue.id, other);
  });
  afterEach(() => brain[Symbol.asyncDispose]());

  /** Declares, and resolves when the host's word is taken. */
  async function declare(networks: readonly NetworkMessage[], endpoints: readonly EndpointMessage[] = []) {
    const { cache, committer } = brain;
    await takeDeclaration(
      { epoch: EPOCH, networks: [...networks], endpoints: [...endpoints], more: false },
      { cache, committer, host, epoch: EPOCH, requestId: 'r', signal: NEVER, log: SILENT },
    );
    expect(cache.view.hosts.get(host.id)?.declaredEpoch).toBe(EPOCH);
  }

  const another = (change: Partial<NetworkMessage>): NetworkMessage => ({
    ...encodeNetwork(blue),
    ...{ id: newNetworkId(), name: 'red', vni: 77, subnets: [subnet({})] },
    ...change,
  });
  const subnet = (change: Partial<NetworkMessage['subnets'][number]>): NetworkMessage['subnets'][number] => ({
    ...{ cidr: '10.7.0.0/24', gateway: '10.7.0.1', ipRange: '', auxAddresses: {}, usage: undefined },
    ...change,
  });
  const mine = (change: Partial<EndpointMessage>): EndpointMessage => ({
    ...encodeEndpoint(web),
    ...{ id: newEndpointId(), hostId: host.id, addresses: ['10.1.0.77'], mac: '02:00:00:00:00:77' },
    state: EndpointState.ENDPOINT_STATE_READY,
    ...change,
  });

  it.each<[string, Partial<NetworkMessage>]>([
    ['everything there is', { subnets: [subnet({ cidr: '0.0.0.0/0', gateway: '10.7.0.1' })] }],
    ['no subnet', { subnets: [] }],
    ['a gateway elsewhere', { subnets: [subnet({ gateway: '10.8.0.1' })] }],
    ['a range elsewhere', { subnets: [subnet({ ipRange: '10.8.0.0/25' })] }],
    ['subnets that overlap', { subnets: [subnet({}), subnet({ cidr: '10.7.0.0/25' })] }],
    ['subnets without end', { subnets: Array.from({ length: 65 }, () => subnet({})) }],
    ['a predefined name', { name: 'host' }],
    ['an id for a name', { name: newNetworkId() }],
    ['an option there is not', { options: { nothing: 'at all' } }],
    ['a search list of two lines', { options: { 'dns-search': 'a.example\nnameserver 192.0.2.9' } }],
    ['an MTU that its options do not say', { mtu: 9 }],
    ['labels without end', { labels: { a: 'x'.repeat(20_000) } }],
  ])('is not believed a network with %s', async (_, change) => {
    await declare([another(change)]);
    expect([...brain.cache.view.networks.keys()]).toEqual([blue.id]);
  });

  it.each<[string, Partial<EndpointMessage>]>([
    ['one address twice', { addresses: ['10.1.0.77', '10.1.0.77'] }],
    ['two addresses of a family', { addresses: ['10.1.0.77', '10.1.0.78'] }],
    ['hundreds of addresses', { addresses: Array.from({ length: 200 }, (_, at) => `10.1.0.${String(at + 20)}`) }],
    ['no address', { addresses: [] }],
    ['the MAC of gateways', { mac: '02:57:46:00:00:01' }],
    ['a group for a MAC', { mac: '01:00:5e:00:00:01' }],
    ['labels without end', { labels: { a: 'x'.repeat(20_000) } }],
    ['an equals sign in a label', { labels: { 'a=b': 'c' } }],
  ])('is not believed an endpoint with %s, and is believed the others', async (_, change) => {
    const sound = mine({ sandbox: 'sound', name: 'sound', addresses: ['10.1.0.9'], mac: '02:00:00:00:00:09' });
    await declare([], [mine(change), sound]);
    expect([...brain.cache.view.endpointsOn(host.id).keys()]).toEqual([sound.id]);
  });

  it('keeps what it has there, and says wrongly', async () => {
    const own = await operator.attach(blue.id, host);
    await brain.committer.run((context) => markReady(context, own), { requestId: 'r', signal: NEVER });
    await declare([], [{ ...encodeEndpoint(own), addresses: ['nowhere'] }]);
    expect(brain.cache.view.endpoints.get(own.id)).toMatchObject({ state: 'ready', addresses: own.addresses });
    await declare([], []);
    expect(brain.cache.view.endpoints.has(own.id)).toBe(false);
  });

  it('takes nobody the gateway by letting a network grow', async () => {
    const subnets = [{ cidr: readCidr('10.1.0.0/16'), gateway: web.addresses[0] ?? readIp('10.1.0.2') }];
    await declare([
      encodeNetwork({ ...blue, subnets: subnets.map((each) => ({ ...blue.subnets[0], ...each })) } as Network),
    ]);
    expect(brain.cache.view.networks.get(blue.id)?.subnets).toEqual(blue.subnets);
  });

  it('puts no sandbox on two networks that overlap by letting one grow', async () => {
    const red = await operator.create({ name: 'red', subnets: [wish('10.1.9.0/24')] });
    await operator.attach(red.id, other);
    const subnets = blue.subnets.map((each) => ({ ...each, cidr: readCidr('10.1.0.0/16') }));
    await declare([encodeNetwork({ ...blue, subnets })]);
    expect(brain.cache.view.networks.get(blue.id)?.subnets).toEqual(blue.subnets);
  });

  it('lets a network grow that stands in nobody’s way', async () => {
    const subnets = blue.subnets.map((each) => ({ ...each, cidr: readCidr('10.1.0.0/16') }));
    await declare([encodeNetwork({ ...blue, subnets })]);
    expect(brain.cache.view.networks.get(blue.id)?.subnets).toEqual(subnets);
  });
});
