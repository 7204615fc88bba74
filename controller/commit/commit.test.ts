import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../core/clock.js';
import { parseCidr, parseIp, type IpAddress } from '../../core/address.js';
import { WeftError, type Reason } from '../../core/errors.js';
import { newEndpointId, newHostId, newNetworkId, type EndpointId, type HostId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Network } from '../../core/model.js';
import { Committer } from './commit.js';
import { createEndpoint, deleteEndpoint, markReady, releaseEndpoint, type CreateEndpoint } from '../domain/endpoint.js';
import { registerHost } from '../domain/host.js';
import { DEFAULT_SETTINGS } from '../domain/settings.js';
import { createNetwork, deleteNetwork, type CreateNetwork, type SubnetWish } from '../domain/network.js';
import { parsePool, type SubnetPool } from '../domain/subnet-pool.js';
import { GUARDS, OBJECTS, objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { StoreFull, StoreUnavailable, type CommitResult, type Transaction } from '../store/store.js';
import { openBrain, type Brain } from '../testing.js';

const signal = new AbortController().signal;
const options = { requestId: 'r', signal };
/** Addresses that are given back are free at once. */
const NO_REST = { quarantineMs: 0 };
const POOLS = ['10.128.0.0/22/24', 'fd00::/48/64'].map(parsePool).filter((each) => typeof each !== 'string');

const network = (fields: Partial<CreateNetwork> = {}): CreateNetwork => ({
  ...{ id: newNetworkId(), name: `n-${newNetworkId().slice(0, 8)}`, driver: 'overlay', subnets: [], ipv6: false },
  ...{ internal: false, mtu: undefined, labels: {}, options: {} },
  ...fields,
});
const subnet = (cidr: string): SubnetWish => {
  const parsed = parseCidr(cidr);
  if (parsed === undefined) throw new Error(cidr);
  return { cidr: parsed, gateway: undefined, ipRange: undefined, auxAddresses: {} };
};
const endpoint = (on: Network, hostId: HostId, fields: Partial<CreateEndpoint> = {}): CreateEndpoint => ({
  ...{ id: newEndpointId(), networkId: on.id, hostId, sandbox: 's', aliases: [], addresses: [], mac: undefined },
  ...{ labels: {} },
  ...fields,
});
const ip = (text: string): IpAddress => {
  const address = parseIp(text);
  if (address === undefined) throw new Error(text);
  return address;
};

const makeNetwork = async (by: Committer, command: CreateNetwork, pools: readonly SubnetPool[] = POOLS) =>
  (await by.run((context) => createNetwork(context, command, pools), options)).result;
const makeEndpoint = async (by: Committer, command: CreateEndpoint) =>
  (await by.run((context) => createEndpoint(context, command), options)).result;
const makeHost = async (by: Committer, number: number) => {
  const name = `h${String(number)}`;
  const command = { id: newHostId(), name, vtep: ip(`192.0.2.${String(number)}`), version: '1' };
  return (await by.run((context) => registerHost(context, command), options)).result;
};
const remove = (by: Committer, id: EndpointId) =>
  by.run((context) => deleteEndpoint(context, { id, hostId: undefined }), options);
const release = (by: Committer, id: EndpointId, hostId: HostId) =>
  by.run((context) => releaseEndpoint(context, { id, hostId }), options);

const reasonOf = async (work: Promise<unknown>): Promise<Reason | undefined> => {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof WeftError) return error.reason;
    throw error;
  }
};
const guards = async (store: MemoryStore) =>
  (await store.list(GUARDS, signal)).entries.map(({ key }) => key.slice(GUARDS.length));

/** Fails commits on demand: before they happen, or after, so that their outcome is unknown either way. */
class FlakyStore extends MemoryStore {
  next: ('lost' | 'unanswered' | 'full' | 'full and lost')[] = [];
  override async commit(transaction: Transaction, until: AbortSignal): Promise<CommitResult> {
    const fault = this.next.shift();
    if (fault === 'lost') throw new StoreUnavailable('lost');
    if (fault === 'full and lost') throw new StoreFull('full');
    const result = await super.commit(transaction, until);
    if (fault === 'full') throw new StoreFull('full');
    if (fault === 'unanswered') throw new StoreUnavailable('unanswered');
    return result;
  }
}

let store: FlakyStore;
let a: Brain;
let b: Brain;
beforeEach(async () => {
  store = new FlakyStore();
  [a, b] = await Promise.all([openBrain(store, NO_REST), openBrain(store, NO_REST)]);
});
afterEach(async () => {
  await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
});

describe('commands that meet', () => {
  it('give one name to one network, whichever controllers they come from', async () => {
    const results = await Promise.all(
      [a, b, a, b].map(({ committer }) => reasonOf(makeNetwork(committer, network({ name: 'web' })))),
    );
    expect(results.filter((each) => each === undefined)).toHaveLength(1);
    expect(results.filter((each) => each === 'NETWORK_NAME_TAKEN')).toHaveLength(3);
  });

  it('never choose subnets that overlap, and exhaust the pool exactly', async () => {
    const made = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        makeNetwork((index % 2 === 0 ? a : b).committer, network()).catch((error: unknown) => error),
      ),
    );
    const networks = made.filter((each): each is Network => !(each instanceof Error));
    expect(networks.map(({ subnets }) => subnets[0]?.cidr).sort()).toEqual([
      ...['10.128.0.0/24', '10.128.1.0/24', '10.128.2.0/24', '10.128.3.0/24'],
    ]);
    expect(new Set(networks.map(({ vni }) => vni)).size).toBe(4);
    expect(made.filter((each) => each instanceof WeftError).map((each) => each.message)).toEqual(
      Array.from(
        { length: 2 },
        () => expect.stringContaining('none of the 4 IPv4 subnets of the pools is free') as string,
      ),
    );
  });

  it('do not choose a subnet that another controller was just told to use, or a host’s tunnel address', async () => {
    const intruder = { id: newHostId(), name: 'h9', vtep: ip('10.128.2.7'), version: '1' };
    const [chosen] = await Promise.all([
      makeNetwork(a.committer, network()),
      makeNetwork(b.committer, network({ subnets: [subnet('10.128.0.0/23')] })),
      b.committer.run((context) => registerHost(context, intruder), options),
    ]);
    // Chosen first or last: it is not what came before it.
    const after = await makeNetwork(a.committer, network());
    const cidrs = [chosen, after].map(({ subnets }) => subnets[0]?.cidr);
    expect(new Set(cidrs).size).toBe(2);
    expect(cidrs[1]).toBe('10.128.3.0/24');
  });

  it('connect a sandbox to a network once, and to no two that overlap', async () => {
    const host = await makeHost(a.committer, 1);
    const [one, two, apart] = await Promise.all([
      makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/24')] })),
      makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/16')] })),
      makeNetwork(a.committer, network({ subnets: [subnet('10.2.0.0/16')] })),
    ]);
    await b.cache.atLeast(a.cache.view.revision, signal);
    const twice = await Promise.all(
      [a, b].map((each) => reasonOf(makeEndpoint(each.committer, endpoint(one, host.id)))),
    );
    expect(twice.toSorted()).toEqual(['ALREADY_CONNECTED', undefined]);
    const other = { sandbox: 't' };
    const overlapping = await Promise.all([
      reasonOf(makeEndpoint(a.committer, endpoint(one, host.id, other))),
      reasonOf(makeEndpoint(b.committer, endpoint(two, host.id, other))),
      reasonOf(makeEndpoint(b.committer, endpoint(apart, host.id, other))),
    ]);
    expect(overlapping.toSorted()).toEqual(['SUBNETS_OVERLAP', undefined, undefined]);
  });

  it('make one endpoint of an id, also where it is asked for in two networks', async () => {
    const host = await makeHost(a.committer, 1);
    const [one, two] = await Promise.all([makeNetwork(a.committer, network()), makeNetwork(a.committer, network())]);
    await b.cache.atLeast(a.cache.view.revision, signal);
    const first = endpoint(one, host.id);
    const reasons = await Promise.all([
      reasonOf(makeEndpoint(a.committer, first)),
      reasonOf(makeEndpoint(b.committer, endpoint(two, host.id, { id: first.id, sandbox: 't' }))),
    ]);
    expect(reasons.toSorted()).toEqual(['ID_TAKEN', undefined]);
    const stored = (await store.list(OBJECTS, signal)).entries.filter(({ key }) => key.endsWith(first.id));
    expect(stored).toHaveLength(1);
  });

  it('either attach or remove the network, never both', async () => {
    for (let round = 0; round < 20; round += 1) {
      const host = await makeHost(a.committer, 10 + round);
      const made = await makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/24')] }));
      await b.cache.atLeast(made.revision, signal);
      const attach = () => reasonOf(makeEndpoint(a.committer, endpoint(made, host.id)));
      const detach = () => reasonOf(b.committer.run((context) => deleteNetwork(context, made.id), options));
      // Whichever comes first wins, so each does in turn.
      const [attached, removed] =
        round % 2 === 0
          ? await Promise.all([attach(), detach()])
          : (await Promise.all([detach(), attach()])).toReversed();
      expect([
        ['NETWORK_NOT_FOUND', undefined],
        [undefined, 'NETWORK_IN_USE'],
      ]).toContainEqual([attached, removed]);
    }
  });
});

describe('VXLAN ids', () => {
  it('are given one after the other, also to creates that are decided more than once', async () => {
    // The space is compared, and each controller learns of it by losing first.
    const alone = await makeNetwork(a.committer, network());
    const other = await makeNetwork(b.committer, network());
    const more = await Promise.all(
      [a, a, a].map(({ committer }) => makeNetwork(committer, network({ subnets: [subnet('10.9.0.0/24')] }))),
    );
    const [first, second, ...rest] = [alone, other, ...more].map(({ vni }) => vni);
    expect([first, second]).toEqual([4_096, 4_097]);
    expect(rest.toSorted()).toEqual([4_098, 4_099, 4_100]);
    // What was given back is not given again at once.
    const last = more.find(({ vni }) => vni === 4_100);
    if (last === undefined) throw new Error('none has it');
    await a.committer.run((context) => deleteNetwork(context, last.id), options);
    expect((await makeNetwork(a.committer, network())).vni).toBe(4_101);
  });
});

describe('an outcome that is unknown', () => {
  it.each(['lost', 'unanswered'] as const)('is read back: %s', async (fault) => {
    const command = network({ ipv6: true });
    store.next = [fault, fault];
    const made = await makeNetwork(a.committer, command);
    expect(a.cache.view.networks.get(command.id)).toEqual(made);
    const host = await makeHost(a.committer, 1);
    store.next = [fault];
    const attached = await makeEndpoint(a.committer, endpoint(made, host.id));
    expect([...a.cache.view.endpoints.values()]).toEqual([attached]);
    for (const step of [
      () => remove(a.committer, attached.id),
      () => release(a.committer, attached.id, host.id),
      () => a.committer.run((context) => deleteNetwork(context, made.id), options),
    ]) {
      store.next = [fault];
      await step();
    }
    expect(a.cache.view.networks.size + a.cache.view.endpoints.size).toBe(0);
    expect(await guards(store)).toEqual([`names/host/h1`, `numbers/host/1`, `spaces/default`, `vteps/192.0.2.1`]);
  });

  it('is said to be unknown when the store stays away', async () => {
    store.next = ['lost'];
    const get = store.get.bind(store);
    store.get = () => Promise.reject(new StoreUnavailable('away'));
    expect(await reasonOf(makeNetwork(a.committer, network()))).toBe('STORE_UNAVAILABLE');
    store.get = get;
  });
});

describe('an endpoint', () => {
  it('gets the address it asks for, or hears who has it', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/24'), subnet('fd00::/64')] }));
    const mac = randomMac();
    const first = await makeEndpoint(a.committer, endpoint(made, host.id, { addresses: [ip('fd00::9')], mac }));
    expect(first).toMatchObject({ addresses: ['10.1.0.2', 'fd00::9'], mac, state: 'pending' });
    const refused = (fields: Partial<CreateEndpoint>) =>
      makeEndpoint(a.committer, endpoint(made, host.id, { sandbox: 't', ...fields })).then(
        () => undefined,
        (error: unknown) => error as WeftError,
      );
    expect(await refused({ addresses: [ip('fd00::9')] })).toMatchObject({
      ...{ reason: 'ADDRESS_TAKEN', metadata: { endpointId: first.id } },
      message: `fd00::9 in network ${made.name} is held by sandbox s on host h1; ask for another, or for none and one is chosen`,
    });
    expect(await refused({ mac })).toMatchObject({ reason: 'MAC_TAKEN', metadata: { endpointId: first.id } });
    for (const address of ['10.1.0.1', '10.1.0.0', '10.1.0.255', 'fd00::', '10.9.0.1']) {
      const error = await refused({ addresses: [ip('fd00::8'), ip(address)].slice(address.includes(':') ? 1 : 0) });
      expect(error).toMatchObject({ reason: 'ARGUMENT_INVALID' });
      expect(error?.violations[0]?.field).toBe(address.includes(':') ? 'addresses[0]' : 'addresses[1]');
    }
  });

  it('is recognised when it is asked for again, and not when something else is', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network());
    const command = endpoint(made, host.id, { aliases: ['x', 'y'], labels: { k: 'v' } });
    const first = await makeEndpoint(a.committer, command);
    await b.cache.atLeast(first.revision, signal);
    expect(await makeEndpoint(b.committer, { ...command, aliases: ['y', 'x'] })).toEqual(first);
    for (const other of [
      { sandbox: 'other' },
      { aliases: ['x'] },
      { labels: {} },
      { addresses: [ip('10.128.0.99')] },
      { mac: randomMac() },
      { hostId: (await makeHost(a.committer, 2)).id },
    ]) {
      expect(await reasonOf(makeEndpoint(a.committer, { ...command, ...other }))).toBe('ID_TAKEN');
    }
  });

  it('is ready once, and never again once it is to go', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network());
    const { id } = await makeEndpoint(a.committer, endpoint(made, host.id));
    const ready = () => a.committer.run((context) => markReady(context, { id, hostId: host.id }), options);
    const state = () => a.cache.view.endpoints.get(id)?.state;
    await release(a.committer, id, host.id);
    expect(state()).toBe('pending');
    const { revision } = await ready();
    expect(state()).toBe('ready');
    expect((await ready()).revision).toBe(revision);
    await remove(a.committer, id);
    await ready();
    expect(state()).toBe('removing');
    expect(await reasonOf(release(a.committer, id, newHostId()))).toBe('NOT_ALLOWED');
  });

  it('does not get the address that was just released, while there are others', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/29')] }));
    const seen: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      const { id, addresses } = await makeEndpoint(a.committer, endpoint(made, host.id));
      seen.push(...addresses);
      await remove(a.committer, id);
      await release(a.committer, id, host.id);
    }
    expect(seen).toEqual(['10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6', '10.1.0.2']);
  });
});

describe('two controllers', () => {
  it('that fill one network go apart when they meet, and give nothing to two', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network({ subnets: [subnet('10.1.0.0/16')] }));
    await b.cache.atLeast(made.revision, signal);
    const conflicts = vi.spyOn(store, 'commit');
    const results = await Promise.all(
      Array.from({ length: 400 }, (_, index) =>
        makeEndpoint((index % 2 === 0 ? a : b).committer, endpoint(made, host.id, { sandbox: `s${String(index)}` })),
      ),
    );
    expect(new Set(results.flatMap(({ addresses }) => addresses)).size).toBe(400);
    // 25 of them share a transaction. Those in the same place lose, once, and then nobody is in the way any more.
    expect(conflicts.mock.calls.length).toBeLessThan(60);
  });
});

describe('a store that takes nothing', () => {
  it('because it is full: what it wrote before it said so is found, and nothing else is promised', async () => {
    const host = await makeHost(a.committer, 1);
    store.next = ['full'];
    const made = await makeNetwork(a.committer, network());
    store.next = ['full', 'full and lost', 'full and lost'];
    const reasons = await Promise.all(
      ['s', 't'].map((sandbox) => reasonOf(makeEndpoint(a.committer, endpoint(made, host.id, { sandbox })))),
    );
    expect(reasons).toEqual([undefined, undefined]);
    store.next = ['full and lost', 'full and lost'];
    expect(await reasonOf(makeNetwork(a.committer, network()))).toBe('STORE_FULL');
  });

  it('because it is being restored', async () => {
    await a.committer.run((context) => createNetwork(context, network(), POOLS), options);
    const fenced = new Committer({
      ...{ store, cache: a.cache, clock: systemClock, settings: DEFAULT_SETTINGS },
      observer: { committed: () => undefined, conflicted: () => undefined, unknown: () => undefined },
      fence: () => ({ kind: 'unchanged', key: objectKey.meta(), modRevision: 99n }),
    });
    expect(await reasonOf(makeNetwork(fenced, network()))).toBe('RESTORE_UNFINISHED');
    expect(a.cache.view.networks.size).toBe(1);
  });
});

describe('a network in use', () => {
  it('names ten of its endpoints, and how many more', async () => {
    const host = await makeHost(a.committer, 1);
    const made = await makeNetwork(a.committer, network());
    for (let index = 0; index < 12; index += 1) {
      await makeEndpoint(a.committer, endpoint(made, host.id, { sandbox: `s${String(index).padStart(2, '0')}` }));
    }
    const error = await a.committer
      .run((context) => deleteNetwork(context, made.id), options)
      .catch((each: unknown) => each);
    expect((error as WeftError).message).toBe(
      `network ${made.name} is in use by ${Array.from({ length: 10 }, (_, index) => `s0${String(index)}@h1`).join(', ')} and 2 more; disconnect them first`,
    );
  });
});

describe('hosts', () => {
  it('have numbers, names and tunnel addresses of their own, and keep their number when they move', async () => {
    const both = await Promise.all([makeHost(a.committer, 1), makeHost(b.committer, 2)]);
    expect(new Set(both.map(({ number }) => number)).size).toBe(2);
    const [{ id, number }] = both;
    const moved = await a.committer.run(
      (context) => registerHost(context, { id, name: 'h1', vtep: ip('2001:db8::1'), version: '2' }),
      options,
    );
    expect(moved.result).toMatchObject({ number, vtep: '2001:db8::1', version: '2' });
    expect(await guards(store)).not.toContain('vteps/192.0.2.1');
    expect(await guards(store)).toContain('vteps/2001:db8::1');
    const again = await a.committer.run(
      (context) => registerHost(context, { id, name: 'h1', vtep: ip('2001:db8::1'), version: '2' }),
      options,
    );
    expect(again.result).toEqual(moved.result);
  });
});

/** What the interleaved commands of the property test do. */
type Step =
  | {
      readonly kind: 'create';
      readonly network: number;
      readonly host: number;
      readonly sandbox: number;
      readonly explicit: number;
    }
  | { readonly kind: 'delete'; readonly nth: number }
  | { readonly kind: 'release'; readonly nth: number }
  | { readonly kind: 'make'; readonly automatic: boolean }
  | { readonly kind: 'drop'; readonly nth: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      network: fc.nat(4),
      host: fc.nat(1),
      sandbox: fc.nat(5),
      explicit: fc.integer({ min: -8, max: 7 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), nth: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), nth: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('make' as const), automatic: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop' as const), nth: fc.nat(4) }) },
);

describe('whatever two controllers do at once', () => {
  it('never gives anything to two, never leaks, and is exhausted only when full', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 8 }), async (rounds) => {
        const memory = new MemoryStore();
        await using one = await openBrain(memory, NO_REST);
        await using two = await openBrain(memory, NO_REST);
        const brains = [one, two] as const;
        const hosts = [await makeHost(one.committer, 1), await makeHost(two.committer, 2)] as const;
        await makeNetwork(one.committer, network({ subnets: [subnet('10.1.0.0/29')] }));
        for (const round of rounds) {
          await Promise.all(
            round.map(async (each, index) => {
              const brain = brains[index % 2] ?? one;
              await perform(
                brain,
                each,
                hosts.map(({ id }) => id),
              );
            }),
          );
          await settle(brains, memory);
          await checkInvariants(one, memory);
        }
        await cleanUp(
          one,
          hosts.map(({ id }) => id),
        );
        expect((await memory.list(OBJECTS, signal)).entries.filter(({ key }) => !key.includes('/hosts/'))).toEqual([]);
        expect((await guards(memory)).filter((key) => !/^(names\/host|numbers|vteps|spaces)\//.test(key))).toEqual([]);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});

/** One step; refusals are part of the game, and must be ones that the rules know. */
async function perform(brain: Brain, each: Step, hosts: readonly HostId[]): Promise<void> {
  const { committer, cache } = brain;
  const nth = <T>(items: Iterable<T>, index: number): T | undefined => {
    const all = [...items];
    return all[index % Math.max(all.length, 1)];
  };
  const target = each.kind === 'create' ? nth(cache.view.networks.values(), each.network) : undefined;
  const picked =
    each.kind === 'delete' || each.kind === 'release' ? nth(cache.view.endpoints.values(), each.nth) : undefined;
  const reason = await (async () => {
    switch (each.kind) {
      case 'create': {
        const hostId = hosts[each.host];
        if (target === undefined || hostId === undefined) return undefined;
        const [range] = target.subnets;
        const base = range?.cidr.replace(/0\/\d+$/, '') ?? '';
        const addresses = each.explicit < 0 ? [] : [ip(`${base}${String(each.explicit)}`)];
        return reasonOf(
          makeEndpoint(committer, endpoint(target, hostId, { sandbox: `s${String(each.sandbox)}`, addresses })),
        );
      }
      case 'delete':
        return picked === undefined ? undefined : reasonOf(remove(committer, picked.id));
      case 'release':
        return picked === undefined ? undefined : reasonOf(release(committer, picked.id, picked.hostId));
      case 'make':
        return reasonOf(makeNetwork(committer, network(each.automatic ? {} : { subnets: [subnet('10.7.0.0/30')] })));
      case 'drop': {
        const network = nth(cache.view.networks.values(), each.nth);
        return network === undefined
          ? undefined
          : reasonOf(committer.run((context) => deleteNetwork(context, network.id), options));
      }
    }
  })();
  const EXPECTED: readonly (Reason | undefined)[] = [
    ...([undefined, 'ARGUMENT_INVALID', 'ADDRESS_TAKEN', 'ALREADY_CONNECTED', 'SUBNETS_OVERLAP'] as const),
    ...([
      'NETWORK_NOT_FOUND',
      'NETWORK_IN_USE',
      'ENDPOINT_NOT_FOUND',
      'SUBNETS_EXHAUSTED',
      'ADDRESSES_EXHAUSTED',
    ] as const),
  ];
  expect(EXPECTED).toContain(reason);
  if (reason === 'ADDRESSES_EXHAUSTED' && target !== undefined) {
    // Five addresses in a /29, one in a /30; a view that said so had as many holders.
    expect(cache.view.endpointsOf(target.id).size).toBeGreaterThan(0);
  }
}

async function settle(brains: readonly Brain[], memory: MemoryStore): Promise<void> {
  const { revision } = await memory.list(OBJECTS, signal);
  await Promise.all(brains.map(({ cache }) => cache.atLeast(revision, signal)));
}

/** Every guard belongs to an object that holds just that, and every object has all its guards. */
async function checkInvariants({ cache, committer }: Brain, memory: MemoryStore): Promise<void> {
  const { view } = cache;
  const endpoints = [...view.endpoints.values()];
  const networks = [...view.networks.values()];
  const holdings = endpoints.flatMap(({ id, networkId, addresses, mac }) => [
    `endpoints/${id}`,
    ...addresses.map((address) => `addresses/${networkId}/${address}`),
    `macs/${networkId}/${mac}`,
  ]);
  const named = networks.flatMap(({ name, vni }) => [`names/network/${name}`, `vnis/${String(vni)}`]);
  const sandboxes = new Set(endpoints.map(({ hostId, sandbox }) => `sandboxes/${hostId}/${sandbox}`));
  const expected = [...holdings, ...named, ...sandboxes];
  expect(new Set(expected).size).toBe(expected.length);
  // Those of a network's own go with it, whenever that is.
  const ofNetworks = networks.flatMap(({ id }) => [`multihomed/${id}`, `quotas/network/${id}`]);
  const present = (await guards(memory)).filter(
    (key) => !/^(names\/host|numbers|vteps|spaces)\//.test(key) && !ofNetworks.includes(key),
  );
  expect(present.toSorted()).toEqual(expected.toSorted());
  const [busiest] = networks;
  const automatic = networks
    .flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr))
    .filter((cidr) => cidr.startsWith('10.128.'));
  expect(new Set(automatic).size).toBe(automatic.length);
  // Exhausted exactly when full: a sandbox of its own asks for one more.
  if (busiest === undefined) return;
  const [host] = view.hosts.keys();
  const [range] = busiest.subnets;
  const capacity = range?.cidr.endsWith('/29') === true ? 5 : range?.cidr.endsWith('/30') === true ? 1 : 253;
  const held = view.endpointsOf(busiest.id).size;
  if (host === undefined) return;
  const probe = endpoint(busiest, host, { sandbox: 'probe' });
  expect(await reasonOf(makeEndpoint(committer, probe))).toBe(held >= capacity ? 'ADDRESSES_EXHAUSTED' : undefined);
  if (held >= capacity) return;
  await remove(committer, probe.id);
  await release(committer, probe.id, host);
}

async function cleanUp({ cache, committer }: Brain, hosts: readonly HostId[]): Promise<void> {
  const endpoints: readonly Endpoint[] = [...cache.view.endpoints.values()];
  for (const { id, hostId } of endpoints) {
    expect(hosts).toContain(hostId);
    await remove(committer, id);
    await release(committer, id, hostId);
  }
  for (const id of [...cache.view.networks.keys()])
    await committer.run((context) => deleteNetwork(context, id), options);
}
