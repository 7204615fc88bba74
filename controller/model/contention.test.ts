import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IpAddress } from '../../core/address.js';
import { WeftError, type Reason } from '../../core/errors.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { parseCidr } from '../../core/address.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { createEndpoint, deleteEndpoint, releaseEndpoint, type CreateEndpoint } from '../domain/endpoint.js';
import { registerHost } from '../domain/host.js';
import { createNetwork, type CreateNetwork } from '../domain/network.js';
import type { Settings } from '../domain/settings.js';
import type { Context } from '../domain/decision.js';
import { defaultPools } from '../domain/subnet-pool.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import { MemoryStore } from '../store/memory.js';
import type { Store } from '../store/store.js';
import { openBrain, type Brain } from '../testing.js';
import { faultsOf, readState } from './stored-state.testing.js';

const never = (): AbortSignal => new AbortController().signal;

/** What surrounds one command. */
const run = () => ({ requestId: 'a test', signal: never() });

/** Endpoints of a /24: without its network, gateway and broadcast addresses. */
const CAPACITY = 253;

interface Place extends AsyncDisposable {
  readonly brains: readonly [Brain, Brain];
  readonly network: Network;
  readonly host: Host;
}

/** Two controllers, a host, and a network of one /24. */
async function openPlace(store: Store, settings: Partial<Settings>): Promise<Place> {
  const brains = [await openBrain(store, settings), await openBrain(store, settings)] as const;
  const [{ committer }] = brains;
  const cidr = parseCidr('10.0.0.0/24');
  if (cidr === undefined) throw new Error('no subnet');
  const { result: host } = await committer.run(
    (context) =>
      registerHost(context, {
        ...{
          id: newHostId(),
          name: 'h1',
          vtep: '192.0.2.1' as IpAddress,
          version: '0',
          prefixes: [],
          declaredEpoch: 'a test',
        },
      }),
    run(),
  );
  const { result: network } = await committer.run(
    (context) =>
      createNetwork(
        context,
        {
          ...{ id: newNetworkId(), name: 'full', driver: 'overlay', ipv6: false, internal: false, mtu: undefined },
          ...{ labels: {}, options: {}, subnets: [{ cidr, gateway: undefined, ipRange: undefined, auxAddresses: {} }] },
        },
        [],
      ),
    run(),
  );
  const { revision } = network;
  await Promise.all(brains.map(({ cache }) => cache.atLeast(revision, never())));
  return {
    ...{ brains, network, host },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(brains.map((brain) => brain[Symbol.asyncDispose]()));
    },
  };
}

/** A network whose subnets, of both families, are left to the controller. */
function automatic(name: string): CreateNetwork {
  return {
    ...{ id: newNetworkId(), name, driver: 'overlay', subnets: [], ipv6: true, internal: false, mtu: undefined },
    ...{ labels: {}, options: {} },
  };
}

/** One more endpoint, in a sandbox of its own; or why not. */
async function connect(
  { brains, network, host }: Place,
  by: 0 | 1,
  wish: Partial<CreateEndpoint> = {},
): Promise<Endpoint | Reason> {
  const id = newEndpointId();
  const command: CreateEndpoint = {
    ...{ id, networkId: network.id, hostId: host.id, sandbox: `s-${id}`, aliases: [], addresses: [] },
    ...{ mac: undefined, labels: {}, ...wish },
  };
  try {
    return (await brains[by].committer.run((context) => createEndpoint(context, command), run())).result;
  } catch (error) {
    if (error instanceof WeftError) return error.reason;
    throw error;
  }
}

/** Out of the kernel, and gone. */
async function disconnect({ brains }: Place, by: 0 | 1, { id }: Endpoint): Promise<void> {
  const { committer } = brains[by];
  await committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), run());
  await committer.run((context) => releaseEndpoint(context, { id, hostId: undefined }), run());
}

const endpointsAmong = (answers: readonly (Endpoint | Reason)[]): Endpoint[] =>
  answers.filter((answer) => typeof answer === 'object');
const reasonsAmong = (answers: readonly (Endpoint | Reason)[]): Reason[] =>
  answers.filter((answer) => typeof answer === 'string');

function describeContention(name: string, open: () => Promise<Store>): void {
  describe(`two controllers on ${name}`, () => {
    it('fill a /24 to its last address, and not beyond', async () => {
      await using store = await open();
      await using place = await openPlace(store, { quarantineMs: 0 });
      const wanted = CAPACITY + 40;
      const answers = await Promise.all(
        Array.from({ length: wanted }, (_, index) => connect(place, index % 2 === 0 ? 0 : 1)),
      );
      const made = endpointsAmong(answers);
      expect(new Set(made.flatMap(({ addresses }) => addresses)).size).toBe(CAPACITY);
      expect(made).toHaveLength(CAPACITY);
      expect(reasonsAmong(answers)).toEqual(Array.from({ length: wanted - CAPACITY }, () => 'ADDRESSES_EXHAUSTED'));
      expect(faultsOf(await readState(store))).toEqual([]);

      // What is given back is found again, however few there are.
      const given = made.slice(100, 103);
      for (const [index, endpoint] of given.entries()) await disconnect(place, index % 2 === 0 ? 0 : 1, endpoint);
      const { revision } = await readState(store);
      await Promise.all(place.brains.map(({ cache }) => cache.atLeast(revision, never())));
      const again = await Promise.all([connect(place, 0), connect(place, 1), connect(place, 0), connect(place, 1)]);
      const addressesOf = (endpoints: readonly Endpoint[]): string[] =>
        endpoints.flatMap(({ addresses }) => addresses).sort();
      expect(addressesOf(endpointsAmong(again))).toEqual(addressesOf(given));
      expect(reasonsAmong(again)).toEqual(['ADDRESSES_EXHAUSTED']);
      expect(faultsOf(await readState(store))).toEqual([]);
    }, 60_000);

    it('give an address that many ask for at once to one of them, and tell the others who has it', async () => {
      await using store = await open();
      await using place = await openPlace(store, {});
      const addresses = ['10.0.0.77' as IpAddress];
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, index) => {
          // In between, others that must not suffer from it.
          const wish = index % 3 === 0 ? {} : { addresses };
          return connect(place, index % 2 === 0 ? 0 : 1, wish);
        }),
      );
      const made = endpointsAmong(answers);
      const winners = made.filter((endpoint) => endpoint.addresses.includes('10.0.0.77' as IpAddress));
      expect(winners).toHaveLength(1);
      expect(made).toHaveLength(21);
      expect(new Set(reasonsAmong(answers))).toEqual(new Set(['ADDRESS_TAKEN']));
      expect(faultsOf(await readState(store))).toEqual([]);
    }, 60_000);

    it('make one of an id that is asked for many times, and one of a MAC', async () => {
      await using store = await open();
      await using place = await openPlace(store, {});
      const id = newEndpointId();
      const same = await Promise.all(
        Array.from({ length: 20 }, (_, index) => connect(place, index % 2 === 0 ? 0 : 1, { id, sandbox: 'one' })),
      );
      expect(reasonsAmong(same)).toEqual([]);
      expect(new Set(endpointsAmong(same).map(({ addresses, mac }) => `${addresses.join()} ${mac}`)).size).toBe(1);
      const [{ mac } = { mac: undefined }] = endpointsAmong(same);
      const others = await Promise.all([connect(place, 0, { mac }), connect(place, 1, { mac })]);
      expect(others).toEqual(['MAC_TAKEN', 'MAC_TAKEN']);
      const { endpoints } = await readState(store);
      expect(endpoints.size).toBe(1);
      expect(faultsOf(await readState(store))).toEqual([]);
    }, 60_000);

    it('give each of many hosts a number, and each of many networks a VXLAN id and subnets of its own', async () => {
      await using store = await open();
      await using place = await openPlace(store, {});
      const { brains } = place;
      const by = (index: number): Brain => brains[index % 2 === 0 ? 0 : 1];
      const pools = defaultPools('a test');
      const [hosts, networks] = await Promise.all([
        Promise.all(
          Array.from({ length: 40 }, async (_, index) => {
            const vtep = `192.0.2.${String(index + 10)}` as IpAddress;
            const command = { id: newHostId(), name: `host-${String(index)}`, vtep, version: '0', prefixes: [] };
            const host = (context: Context) => registerHost(context, { ...command, declaredEpoch: 'a test' });
            return (await by(index).committer.run(host, run())).result;
          }),
        ),
        Promise.all(
          Array.from({ length: 40 }, async (_, index) => {
            const network = (context: Context) => createNetwork(context, automatic(`network-${String(index)}`), pools);
            return (await by(index).committer.run(network, run())).result;
          }),
        ),
      ]);
      expect(new Set(hosts.map(({ number }) => number)).size).toBe(40);
      expect(new Set(networks.map(({ vni }) => vni)).size).toBe(40);
      const cidrs = networks.flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr));
      expect(new Set(cidrs).size).toBe(80);
      expect(faultsOf(await readState(store))).toEqual([]);
    }, 60_000);

    it('keep a quota exactly', async () => {
      await using store = await open();
      await using place = await openPlace(store, { endpointsPerNetwork: 10 });
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, index) => connect(place, index % 2 === 0 ? 0 : 1)),
      );
      expect(endpointsAmong(answers)).toHaveLength(10);
      expect(new Set(reasonsAmong(answers))).toEqual(new Set(['QUOTA_REACHED']));
      const { endpoints, ...left } = await readState(store);
      expect(endpoints.size).toBe(10);
      expect(faultsOf({ endpoints, ...left })).toEqual([]);
    }, 60_000);
  });
}

describeContention('a store in memory', async () => new MemoryStore());

describe('with etcd', () => {
  let lab: EtcdLab;
  beforeAll(async () => {
    lab = await EtcdLab.open();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });
  describeContention('etcd', async () => {
    const store = lab.store();
    await store.commit({ compares: [], puts: [], deletes: [], deletePrefixes: ['/weft/v1/'] }, never());
    return store;
  });
});
