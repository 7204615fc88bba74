import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newEndpointId, newNetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { encodeEndpoint, encodeNetwork } from '../../proto/codec.js';
import { EndpointState, type Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import type { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import { Operator, readCidr, readIp, wish } from '../domain/network.testing.js';
import { markReady } from '../domain/endpoint.js';
import { updateNetwork } from '../domain/network-update.js';
import { MemoryStore } from '../store/memory.js';
import { SILENT, openBrain, type Brain } from '../testing.js';
import { takeDeclaration } from './declaration.js';

const NEVER = new AbortController().signal;
const EPOCH = '7d1f9f0e-6a53-4b0e-9a8e-2f5cf1d1b001';
/** That in which the backup was taken, one after it and one before. */
const BEFORE = '7d1f9f0e-6a53-4b0e-9a8e-2f5cf1d1b000';
const BETWEEN = '7d1f9f0e-6a53-4b0e-9a8e-2f5cf1d1b002';
const LONG_AGO = '7d1f9f0e-6a53-4b0e-9a8e-2f5cf1d1b003';

describe('a host that declares', () => {
  let brain: Brain;
  let operator: Operator;
  let host: Host;
  let other: Host;
  let blue: Network;
  let web: Endpoint;
  /** Up to where the backup knows what was written in the epoch before, and since when its state stands. */
  let backupRevision: bigint;
  let metaRevision: bigint;

  beforeEach(async () => {
    brain = await openBrain(new MemoryStore());
    operator = new Operator(brain);
    host = await operator.host(1);
    other = await operator.host(2);
    blue = await operator.create({ name: 'blue', subnets: [wish('10.1.0.0/24')] });
    web = await operator.attach(blue.id, other);
    backupRevision = 10n;
    metaRevision = brain.cache.view.revision;
  });
  afterEach(() => brain[Symbol.asyncDispose]());

  /** Declares, and resolves when the host's word is taken. */
  async function declare(
    networks: readonly NetworkMessage[],
    endpoints: readonly EndpointMessage[] = [],
    { by = host, before = BEFORE } = {},
  ) {
    const { cache, committer } = brain;
    await takeDeclaration(
      { epoch: EPOCH, networks: [...networks], endpoints: [...endpoints], more: false },
      {
        ...{ cache, committer, host: by, before, requestId: 'r', signal: NEVER, log: SILENT },
        meta: {
          ...{ epoch: EPOCH, metaRevision, formerEpochs: [BETWEEN, BEFORE, LONG_AGO] },
          backup: { epoch: BEFORE, revision: backupRevision },
        },
      },
    );
    expect(cache.view.hosts.get(by.id)?.declaredEpoch).toBe(EPOCH);
  }

  const another = (change: Partial<NetworkMessage> = {}): NetworkMessage => ({
    ...encodeNetwork(blue),
    ...{ id: newNetworkId(), name: 'red', vni: 77, subnets: [subnet({})], revision: 11n },
    ...change,
  });
  /** A network with an endpoint of the host on it. */
  const used = (network: NetworkMessage): [NetworkMessage[], EndpointMessage[]] => [
    [network],
    [mine({ networkId: network.id, addresses: ['10.7.0.9'] })],
  ];
  const names = () => [...brain.cache.view.networks.values()].map(({ name }) => name).sort();
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

  it('is believed a network that its endpoints are on, and none that they are not on', async () => {
    const [networks, endpoints] = used(another());
    const unused = another({ name: 'green', vni: 78, subnets: [subnet({ cidr: '10.8.0.0/24', gateway: '10.8.0.1' })] });
    const elsewhere = another({
      name: 'grey',
      vni: 79,
      subnets: [subnet({ cidr: '10.9.0.0/24', gateway: '10.9.0.1' })],
    });
    const astray = mine({ networkId: elsewhere.id, sandbox: 'b', name: 'b', mac: '02:00:00:00:00:78' });
    await declare([...networks, unused, elsewhere], [...endpoints, astray]);
    expect(names()).toEqual(['blue', 'red']);
    expect([...brain.cache.view.endpointsOn(host.id).keys()]).toEqual(endpoints.map(({ id }) => id));
  });

  it('is not believed a network that was removed before the backup', async () => {
    backupRevision = 11n;
    await declare(...used(another({ revision: 11n })));
    expect(names()).toEqual(['blue']);
    await declare(...used(another({ revision: 12n })));
    expect(names()).toEqual(['blue', 'red']);
  });

  it('is believed a network of an epoch whose revisions say nothing here', async () => {
    backupRevision = 11n;
    await declare(...used(another({ revision: 30n })), { before: LONG_AGO });
    expect(names()).toEqual(['blue']);
    await declare(...used(another({ revision: 3n })), { before: newNetworkId() });
    expect(names()).toEqual(['blue', 'red']);
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
    await declare(...used(another(change)));
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

  describe('a network that had grown', () => {
    /** Blue as the host followed it: with these subnets, a while after the backup. */
    const grown = (...cidrs: readonly string[]): NetworkMessage => {
      const [first, ...more] = cidrs.map((cidr) => ({ cidr: readCidr(cidr) }));
      const [present] = blue.subnets;
      if (present === undefined || first === undefined) throw new RangeError('no subnet');
      const added = more.map(({ cidr }) => ({ ...present, cidr, gateway: readIp(`${cidr.split('.0/')[0] ?? ''}.1`) }));
      return encodeNetwork({ ...blue, subnets: [{ ...present, ...first }, ...added], revision: 11n });
    };
    /** An endpoint of the host with this address. */
    const at = (address: string) => [mine({ addresses: [address] })];
    const subnets = () => brain.cache.view.networks.get(blue.id)?.subnets.map(({ cidr }) => cidr);
    const own = () => [...brain.cache.view.endpointsOn(host.id).values()].map(({ addresses }) => addresses.join());

    it('grows again where the host has an address there, and there alone', async () => {
      await declare([grown('10.1.0.0/16', '10.2.0.0/24', '10.3.0.0/24')], at('10.2.0.7'));
      expect([subnets(), own()]).toEqual([['10.1.0.0/24', '10.2.0.0/24'], ['10.2.0.7']]);
      await declare([grown('10.1.0.0/16', '10.2.0.0/24', '10.3.0.0/24')], at('10.1.9.7'));
      expect([subnets(), own()]).toEqual([['10.1.0.0/16', '10.2.0.0/24'], ['10.1.9.7']]);
    });

    it('stays as it is where the host has none there', async () => {
      await declare([grown('10.1.0.0/16')], at('10.1.0.7'));
      expect([subnets(), own()]).toEqual([['10.1.0.0/24'], ['10.1.0.7']]);
    });

    it('stays as it is where the backup is newer: it had shrunk again', async () => {
      backupRevision = 11n;
      await declare([grown('10.1.0.0/16')], at('10.1.9.7'));
      expect([subnets(), own()]).toEqual([['10.1.0.0/24'], []]);
      await declare([grown('10.1.0.0/16')], at('10.1.9.7'), { before: LONG_AGO });
      expect([subnets(), own()]).toEqual([['10.1.0.0/24'], []]);
      // Of a later epoch, revisions do not compare: an address that is held there is then what counts.
      await declare([grown('10.1.0.0/16')], at('10.1.9.7'), { before: BETWEEN });
      expect([subnets(), own()]).toEqual([['10.1.0.0/16'], ['10.1.9.7']]);
    });

    it('stays as it is where somebody has changed it since the restore', async () => {
      const change = {
        id: blue.id,
        labels: { by: 'ops' },
        options: undefined,
        subnets: undefined,
        ifRevision: undefined,
      };
      await brain.committer.run((context) => updateNetwork(context, change), { requestId: 'ops', signal: NEVER });
      await declare([grown('10.1.0.0/16')], at('10.1.9.7'));
      expect([subnets(), own()]).toEqual([['10.1.0.0/24'], []]);
    });

    it('grows for one host after the other: what they declare is nobody’s change', async () => {
      await declare([grown('10.1.0.0/24', '10.2.0.0/24')], at('10.2.0.7'));
      const theirs = mine({
        hostId: other.id,
        addresses: ['10.1.9.7'],
        mac: '02:00:00:00:00:99',
        sandbox: 'z',
        name: 'z',
      });
      await declare([grown('10.1.0.0/16', '10.2.0.0/24')], [theirs, encodeEndpoint(web)], { by: other });
      expect([subnets(), own()]).toEqual([['10.1.0.0/16', '10.2.0.0/24'], ['10.2.0.7']]);
      expect(brain.cache.view.endpointsOn(other.id).size).toBe(2);
    });

    it('takes nobody the gateway', async () => {
      const [present] = grown('10.1.0.0/16').subnets;
      const moved = { ...subnet({}), ...present, gateway: web.addresses[0] ?? '' };
      await declare([{ ...grown('10.1.0.0/16'), subnets: [moved] }], at('10.1.9.7'));
      expect(brain.cache.view.networks.get(blue.id)?.subnets).toEqual(blue.subnets);
    });

    it('puts no sandbox on two networks that overlap', async () => {
      const red = await operator.create({ name: 'red', subnets: [wish('10.1.9.0/24')] });
      await operator.attach(red.id, other);
      await declare([grown('10.1.0.0/16')], at('10.1.9.7'));
      expect(subnets()).toEqual(['10.1.0.0/24']);
    });
  });
});
