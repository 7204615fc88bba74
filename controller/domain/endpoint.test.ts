import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newEndpointId, newHostId, type EndpointId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { readHolding } from '../cache/holding.js';
import { GUARDS, HISTORY, guardKey, historyOf, objectKey, restingIn } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { createEndpoint, deleteEndpoint, markReady, releaseEndpoint, type CreateEndpoint } from './endpoint.js';
import { Operator, readIp, refusalOf, wish } from './network.testing.js';
import type { Settings } from './settings.js';
import { defaultPools } from './subnet-pool.js';

const signal = new AbortController().signal;
// Hundreds wait with it at once.
setMaxListeners(0, signal);
const options = { requestId: 'r', signal };
const POOLS = defaultPools('8f14e45f-ceea-467f-a8e3-0d2f1ed6b5a1');

let store: MemoryStore;
let brain: Brain;
let operator: Operator;
let host: Host;

async function open(settings: Partial<Settings> = {}): Promise<void> {
  store = new MemoryStore();
  brain = await openBrain(store, settings);
  operator = new Operator(brain, POOLS);
  host = await operator.host(1);
}
beforeEach(() => open());
afterEach(() => brain[Symbol.asyncDispose]());

const command = (on: Network, fields: Partial<CreateEndpoint> = {}): CreateEndpoint => ({
  ...{ id: newEndpointId(), networkId: on.id, hostId: host.id, sandbox: 's', aliases: [], addresses: [] },
  ...{ mac: undefined, labels: {} },
  ...fields,
});
const create = async (on: Network, fields: Partial<CreateEndpoint> = {}, by = brain): Promise<Endpoint> =>
  (await by.committer.run((context) => createEndpoint(context, command(on, fields)), options)).result;
const keysUnder = async (prefix: string) => (await store.list(prefix, signal)).entries.map(({ key }) => key);
const holdingsOf = async (address: string) => (await store.list(historyOf(address), signal)).entries.map(readHolding);

describe('an address that was given back', () => {
  it('rests: it is not chosen, and when only such are left, that is said with figures', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/29')] });
    const seen: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      const endpoint = await create(made);
      seen.push(...endpoint.addresses);
      await operator.detach(endpoint);
    }
    const last = await create(made);
    expect([...seen, ...last.addresses]).toEqual(['10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6']);
    expect([...brain.cache.view.restingIn(made.id).keys()]).toEqual(seen);
    expect(await refusalOf(create(made, { sandbox: 't' }))).toMatchObject({
      reason: 'ADDRESSES_EXHAUSTED',
      message: `network ${made.name}: 10.1.0.0/29 has 5 addresses for endpoints: 1 in use and 4 resting; addresses rest 30 s after use; make room with: weft network update --grow CIDR ${made.name} (or --add-subnet CIDR)`,
      metadata: { networkId: made.id, family: '4', total: '5', used: '1', resting: '4' },
    });
  });

  it('is had at once by who names it, and then rests no more', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/29'), wish('fd00::/64')] });
    const first = await create(made);
    await operator.detach(first);
    expect(await keysUnder(restingIn(made.id))).toHaveLength(2);
    const again = await create(made, { addresses: first.addresses });
    expect(again.addresses).toEqual(first.addresses);
    expect(await keysUnder(restingIn(made.id))).toEqual([]);
    expect(brain.cache.view.restingIn(made.id).size).toBe(0);
  });

  it('is chosen again when its time is over', async () => {
    await brain[Symbol.asyncDispose]();
    await open({ quarantineMs: 150 });
    const made = await operator.create({ subnets: [wish('10.1.0.0/30')] });
    await operator.detach(await create(made));
    expect((await refusalOf(create(made))).metadata).toMatchObject({ total: '1', used: '0', resting: '1' });
    await vi.waitFor(() => {
      expect(brain.cache.view.restingIn(made.id).size).toBe(0);
    });
    expect((await create(made)).addresses).toEqual(['10.1.0.2']);
  });

  it('is chosen again at once where nothing rests', async () => {
    await brain[Symbol.asyncDispose]();
    await open({ quarantineMs: 0 });
    const made = await operator.create({ subnets: [wish('10.1.0.0/30')] });
    for (let round = 0; round < 3; round += 1) await operator.detach(await create(made));
    expect(await keysUnder(restingIn(made.id))).toEqual([]);
  });

  it('is not chosen by a controller that has not heard of it yet', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/29')] });
    // Put by another controller, whose word comes only with the next revision.
    await store.commit(
      { compares: [], puts: [{ key: objectKey.resting(made.id, '10.1.0.2'), value: Buffer.from('') }], deletes: [] },
      signal,
    );
    expect(brain.cache.view.restingIn(made.id).size).toBe(0);
    expect((await create(made)).addresses).toEqual(['10.1.0.3']);
  });

  it('goes with its network', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/29'), wish('fd00::/64')] });
    await operator.detach(await create(made));
    await operator.remove(made.id);
    expect(await keysUnder(restingIn(made.id))).toEqual([]);
    expect(brain.cache.view.restingIn(made.id).size).toBe(0);
  });
});

describe('the history of an address', () => {
  it('is written when it is given back, whoever held it and whatever is there no more', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/29'), wish('fd00::/64')] });
    const first = await create(made);
    const ready = await brain.committer.run(
      (context) => markReady(context, { id: first.id, hostId: host.id }),
      options,
    );
    expect(brain.cache.view.endpoints.get(first.id)).toEqual({ ...first, state: 'ready', revision: ready.revision });
    await operator.detach(first);
    const again = await create(made, { addresses: first.addresses.slice(0, 1) });
    await operator.detach(again);
    const revision = brain.cache.view.revision;
    expect(await holdingsOf('10.1.0.2')).toEqual(
      [first, again]
        .map(({ id, mac, createRevision, createTimeMs }) => ({
          ...{ address: '10.1.0.2', networkId: made.id, network: made.name, endpointId: id, hostId: host.id },
          ...{ host: 'h1', sandbox: 's', mac, fromRevision: createRevision, fromTimeMs: createTimeMs },
          ...{ untilRevision: expect.any(BigInt) as bigint, untilTimeMs: expect.any(Number) as number },
        }))
        .toSorted((one, other) => (one.endpointId < other.endpointId ? -1 : 1)),
    );
    const [one, other] = (await holdingsOf('10.1.0.2')).toSorted((x, y) =>
      (x?.untilRevision ?? 0n) < (y?.untilRevision ?? 0n) ? -1 : 1,
    );
    expect(one?.untilRevision).toBeLessThan(other?.fromRevision ?? 0n);
    expect(other?.untilRevision).toBe(revision);
    expect(await holdingsOf('fd00::2')).toHaveLength(1);
  });

  it('is not kept where none is wanted', async () => {
    await brain[Symbol.asyncDispose]();
    await open({ historyMs: 0 });
    await operator.detach(await create(await operator.create()));
    expect(await keysUnder(HISTORY)).toEqual([]);
  });
});

describe('a quota', () => {
  it('of a network and of a host is exact, and says what to do', async () => {
    await brain[Symbol.asyncDispose]();
    await open({ endpointsPerNetwork: 3, endpointsPerHost: 5 });
    const [one, two] = [await operator.create(), await operator.create()];
    const many = (on: Network, count: number, prefix: string) =>
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          create(on, { sandbox: `${prefix}${String(index)}` }).then(
            (endpoint) => endpoint,
            (error: unknown) => error as Awaited<ReturnType<typeof refusalOf>>,
          ),
        ),
      );
    const first = await many(one, 5, 'a');
    expect(first.filter((each) => 'addresses' in each)).toHaveLength(3);
    expect(first.find((each) => 'reason' in each)).toMatchObject({
      reason: 'QUOTA_REACHED',
      message: `network ${one.name} has 3 endpoints, and at most 3 are allowed; remove some, or give the controllers a higher --endpoints-per-network`,
      metadata: { count: '3', quota: '3' },
    });
    const second = await many(two, 3, 'b');
    expect(second.filter((each) => 'addresses' in each)).toHaveLength(2);
    expect(second.find((each) => 'reason' in each)).toMatchObject({
      reason: 'QUOTA_REACHED',
      message: `host h1 has 5 endpoints, and at most 5 are allowed; remove some, or give the controllers a higher --endpoints-per-host`,
    });
    // What is being removed still counts.
    const [leaving] = first;
    if (leaving === undefined || !('addresses' in leaving)) throw new Error('nothing was made');
    await brain.committer.run((context) => deleteEndpoint(context, { id: leaving.id, hostId: undefined }), options);
    expect((await refusalOf(create(one, { sandbox: 'c' }))).reason).toBe('QUOTA_REACHED');
    await operator.detach(leaving);
    await create(one, { sandbox: 'c' });
    expect((await refusalOf(create(one, { sandbox: 'd' }))).reason).toBe('QUOTA_REACHED');
  });

  it('holds against more creates at once than there is room for, far from its edge', async () => {
    await brain[Symbol.asyncDispose]();
    await open({ endpointsPerNetwork: 400 });
    await using other = await openBrain(store, { endpointsPerNetwork: 400 });
    const made = await operator.create({ subnets: [wish('10.1.0.0/16')] });
    await other.cache.atLeast(made.revision, signal);
    const results = await Promise.all(
      Array.from({ length: 600 }, (_, index) =>
        create(made, { sandbox: `s${String(index)}` }, index % 2 === 0 ? brain : other).then(
          () => 'made',
          (error: unknown) => (error as { reason: string }).reason,
        ),
      ),
    );
    expect(results.filter((each) => each === 'made')).toHaveLength(400);
    expect(new Set(results)).toEqual(new Set(['made', 'QUOTA_REACHED']));
  }, 30_000);
});

describe('a sandbox on several networks', () => {
  it('is refused where its networks would come to overlap, whoever changes what first', async () => {
    await using other = await openBrain(store);
    const elsewhere = new Operator(other, POOLS);
    for (let round = 0; round < 20; round += 1) {
      const [one, two] = [
        await operator.create({ subnets: [wish('10.1.0.0/24')] }),
        await operator.create({ subnets: [wish('10.2.0.0/24')] }),
      ];
      const sandbox = `s${String(round)}`;
      await create(one, { sandbox });
      await other.cache.atLeast(brain.cache.view.revision, signal);
      const grow = () => elsewhere.update(one.id, { subnets: [wish('10.0.0.0/14')] });
      const join = () => create(two, { sandbox });
      const both = round % 2 === 0 ? [grow(), join()] : [join(), grow()];
      const reasons = await Promise.all(
        both.map((each) =>
          each.then(
            () => 'done',
            (error: unknown) => (error as { reason: string }).reason,
          ),
        ),
      );
      expect(reasons.toSorted()).toEqual(['SUBNETS_OVERLAP', 'done']);
    }
  });

  it('can be on 32 and no more', async () => {
    for (let index = 0; index < 32; index += 1) await create(await operator.create());
    expect(await refusalOf(create(await operator.create()))).toMatchObject({
      ...{
        reason: 'QUOTA_REACHED',
        message:
          'sandbox s on host h1 is connected to 32 networks, which is the most that one can be; disconnect it from one first',
      },
    });
    for (const endpoint of [...brain.cache.view.endpoints.values()]) await operator.detach(endpoint);
    for (const id of [...brain.cache.view.networks.keys()]) await operator.remove(id);
    const left = (await keysUnder(GUARDS)).map((key) => key.slice(GUARDS.length).split('/')[0]);
    expect(new Set(left)).toEqual(new Set(['names', 'numbers', 'spaces', 'vteps']));
  });
});

describe('what an endpoint asks for and somebody else has', () => {
  it('is refused with the field and the holder', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24'), wish('fd00::/64')] });
    const held = await create(made, { mac: randomMac() });
    const taken = `10.1.0.2 in network ${made.name} is held by sandbox s on host h1`;
    const message = `${taken}; ask for another, or for none and one is chosen`;
    expect(
      await refusalOf(create(made, { sandbox: 't', addresses: ['fd00::9', '10.1.0.2'].map(readIp) })),
    ).toMatchObject({
      ...{ reason: 'ADDRESS_TAKEN', message, violations: [{ field: 'addresses[1]', description: message }] },
      metadata: { endpointId: held.id, address: '10.1.0.2' },
    });
    expect(await refusalOf(create(made, { sandbox: 't', mac: held.mac }))).toMatchObject({
      ...{
        reason: 'MAC_TAKEN',
        message: `${held.mac} in network ${made.name} is held by sandbox s on host h1; ask for another, or for none and one is made up`,
      },
      violations: [{ field: 'mac' }],
    });
    await brain.committer.run((context) => deleteEndpoint(context, { id: held.id, hostId: undefined }), options);
    expect((await refusalOf(create(made, { sandbox: 't', addresses: [readIp('10.1.0.2')] }))).message).toBe(
      `${taken}; it is being removed; try again`,
    );
  });
});

describe('releasing an endpoint', () => {
  const release = (id: EndpointId) =>
    brain.committer.run((context) => releaseEndpoint(context, { id, hostId: host.id }), options);

  it('works whatever became of what stood beside it', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24')] });
    const endpoint = await create(made);
    await brain.committer.run((context) => deleteEndpoint(context, { id: endpoint.id, hostId: undefined }), options);
    // Hands that slipped: its host, its network and its sandbox's guard are gone, others hold its address in part.
    await store.commit(
      {
        compares: [],
        puts: [{ key: objectKey.resting(made.id, '10.1.0.2'), value: Buffer.from('?') }],
        deletes: [
          ...[objectKey.host(host.id), objectKey.network(made.id), guardKey.sandbox(host.id, 's')],
          ...[guardKey.mac(made.id, endpoint.mac), guardKey.endpoint(endpoint.id)],
        ],
      },
      signal,
    );
    await release(endpoint.id);
    expect(brain.cache.view.endpoints.size).toBe(0);
    expect(await holdingsOf('10.1.0.2')).toMatchObject([{ network: made.id, host: host.id, endpointId: endpoint.id }]);
    expect(await keysUnder(guardKey.address(made.id, '10.1.0.2'))).toEqual([]);
  });

  it('is done twice for once, and only for one that is to go', async () => {
    const made = await operator.create();
    const endpoint = await create(made);
    await release(endpoint.id);
    expect(brain.cache.view.endpoints.get(endpoint.id)).toEqual(endpoint);
    await operator.detach(endpoint);
    await release(endpoint.id);
    const error = await refusalOf(
      brain.committer.run((context) => markReady(context, { id: endpoint.id, hostId: newHostId() }), options),
    );
    expect(error.reason).toBe('ENDPOINT_NOT_FOUND');
  });
});
