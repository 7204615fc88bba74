import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { newEndpointId, newHostId } from '../../core/ids.js';
import { deferred } from '../../core/lifetime.js';
import { BadRequest, ErrorInfo } from '../../proto/gen/google/rpc/error_details.js';
import {
  CreateEndpointRequest,
  ListAddressHistoryRequest,
  ListEndpointsRequest,
  type AddressHolding,
  type BatchCreateEndpointsResult,
} from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest, SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { releaseEndpoint } from '../domain/endpoint.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { openController, type Harness, type TestClient } from '../testing.js';

let harness: Harness;
let admin: TestClient;
let h1: TestClient;

let serial = 0;
let name = '';
let session = '';
const HOST_1 = newHostId();
const HOST_2 = newHostId();
beforeEach(async () => {
  harness = await openController(new MemoryStore());
  admin = await harness.client({ role: 'admin', name: 'ops' });
  h1 = await harness.client({ role: 'host', name: 'h1' });
  serial += 1;
  name = `net-${String(serial)}`;
  const subnets = [SubnetRequest.fromPartial({ cidr: '10.1.0.0/24' })];
  await admin.call(admin.networks.create.bind(admin.networks), CreateNetworkRequest.fromPartial({ name, subnets }));
  const h2 = await harness.client({ role: 'host', name: 'h2' });
  const agents = [
    h1.agent({ hostId: HOST_1, vtep: '192.0.2.1' }),
    h2.agent({ hostId: HOST_2, vtep: '192.0.2.2' }),
  ] as const;
  [session] = (await Promise.all(agents.map((agent) => agent.session()))) as [string, string];
});

afterEach(() => harness[Symbol.asyncDispose]());

const refusal = async (work: Promise<unknown>): Promise<WeftError> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WeftError)) throw new Error(`not refused: ${String(error)}`);
  return error;
};

describe('BatchCreate', () => {
  const batch = (requests: readonly Partial<CreateEndpointRequest>[], client = admin) =>
    client.call(client.endpoints.batchCreate.bind(client.endpoints), {
      requests: requests.map((fields, index) =>
        CreateEndpointRequest.fromPartial({
          ...{ network: name, sandbox: `s${String(index)}`, host: client === admin ? 'h1' : '' },
          ...fields,
        }),
      ),
    });
  /** What became of an item: the last part of its address, or the reason and the field. */
  const told = ({ outcome }: BatchCreateEndpointsResult): string => {
    if (outcome?.$case === 'endpoint') return outcome.value.addresses.join().replace('10.1.0', '');
    const find = (type: string) => outcome?.value.details.find(({ typeUrl }) => typeUrl.endsWith(type))?.value;
    const info = ErrorInfo.decode(find('ErrorInfo') ?? new Uint8Array());
    const request = BadRequest.decode(find('BadRequest') ?? new Uint8Array());
    return [info.reason, ...request.fieldViolations.map(({ field }) => field)].join(' ');
  };

  it('answers for each by itself, in their order, with the path of its fields', async () => {
    const id = newEndpointId();
    const { results, revision } = await batch([
      {},
      { sandbox: 'a b', mac: 'x' },
      { network: 'nowhere' },
      { host: 'h9' },
      { id, addresses: ['10.1.0.99'] },
      { id, sandbox: 's4', addresses: ['10.1.0.99'] },
      { id, sandbox: 'other' },
      { addresses: ['10.1.0.0'] },
      { sandbox: 's0' },
    ]);
    expect(results.map(told)).toEqual([
      ...['.2', 'ARGUMENT_INVALID requests[1].sandbox requests[1].mac'],
      ...['NETWORK_NOT_FOUND requests[2].network', 'HOST_NOT_FOUND requests[3].host', '.99'],
      ...['.99', 'ID_TAKEN requests[6].id', 'ARGUMENT_INVALID requests[7].addresses[0]'],
      'ALREADY_CONNECTED requests[8].sandbox',
    ]);
    const ids = results.flatMap(({ outcome }) => (outcome?.$case === 'endpoint' ? outcome.value.id : []));
    expect(ids.slice(1)).toEqual([id, id]);
    expect(revision).toBe(harness.brain.cache.view.revision);
    expect(harness.brain.cache.view.endpoints.size).toBe(2);
  });

  it('gives one address, MAC or sandbox to one of those that ask for it', async () => {
    const mac = '02:00:00:00:00:07';
    const { results } = await batch([
      ...[0, 1, 2].map(() => ({ addresses: ['10.1.0.50'] })),
      ...[0, 1, 2].map(() => ({ mac })),
      ...[0, 1, 2].map(() => ({ sandbox: 'same' })),
    ]);
    const tally = (from: number) =>
      results
        .slice(from, from + 3)
        .map(told)
        .toSorted();
    expect(tally(0)).toEqual([
      '.50',
      'ADDRESS_TAKEN requests[1].addresses[0]',
      'ADDRESS_TAKEN requests[2].addresses[0]',
    ]);
    expect(tally(3).slice(1)).toEqual(['MAC_TAKEN requests[4].mac', 'MAC_TAKEN requests[5].mac']);
    expect(tally(6).slice(1)).toEqual([7, 8].map((index) => `ALREADY_CONNECTED requests[${String(index)}].sandbox`));
  });

  it('makes a thousand at once, of which those that find no room fail alone, and refuses more', async () => {
    const { results } = await batch(Array.from({ length: 1_000 }, () => ({})));
    const made = results.filter(({ outcome }) => outcome?.$case === 'endpoint').map(told);
    expect(new Set(made).size).toBe(253);
    expect(new Set(results.map(told).filter((each) => !each.startsWith('.')))).toEqual(
      new Set(['ADDRESSES_EXHAUSTED']),
    );
    expect((await batch([])).results).toEqual([]);
    const error = await refusal(batch(Array.from({ length: 1_001 }, () => ({}))));
    expect(error).toMatchObject({ reason: 'ARGUMENT_INVALID', violations: [{ field: 'requests' }] });
  });

  it('lets a host make its own, with the session it has', async () => {
    const { results } = await batch(
      [{ session }, { session: 'stale' }, { session, host: 'h2' }, { session, host: 'h1' }],
      h1,
    );
    expect(results.map(told)).toEqual(['.2', 'SESSION_STALE', 'NOT_ALLOWED', '.3']);
  });

  it('says in time what it could not do in time', async () => {
    const { store } = harness.brain;
    const commit = store.commit.bind(store);
    const awake = deferred<undefined>();
    const spy = vi.spyOn(store, 'commit').mockImplementation(async (transaction, signal) => {
      await awake.promise;
      return commit(transaction, signal);
    });
    const requests = ['s', 'a b'].map((sandbox) =>
      CreateEndpointRequest.fromPartial({ id: newEndpointId(), network: name, host: 'h1', sandbox }),
    );
    const call = (timeoutMs: number) =>
      admin.call(admin.endpoints.batchCreate.bind(admin.endpoints), { requests }, timeoutMs);
    expect((await call(2_000)).results.map(told)).toEqual(['TIMED_OUT', 'ARGUMENT_INVALID requests[1].sandbox']);
    spy.mockRestore();
    awake.resolve(undefined);
    expect((await call(20_000)).results.map(told)).toEqual(['.2', 'ARGUMENT_INVALID requests[1].sandbox']);
  });

  it('is the same batch when it is sent again', async () => {
    const requests = Array.from({ length: 20 }, () => ({ id: newEndpointId() }));
    const [first, again] = await Promise.all([batch(requests), batch(requests)]);
    expect(again.results).toEqual(first.results);
    expect((await batch(requests)).results).toEqual(first.results);
  });
});

describe('List', () => {
  it('takes filters, alone and beside what it is narrowed to', async () => {
    const create = (fields: Partial<CreateEndpointRequest>) =>
      admin.call(
        admin.endpoints.create.bind(admin.endpoints),
        CreateEndpointRequest.fromPartial({ network: name, host: 'h1', ...fields }),
      );
    const tier = `tier-${name}`;
    const made = [
      await create({ sandbox: 'web-1', labels: { [tier]: 'front', constructor: 'x' } }),
      await create({ sandbox: 'web-2', labels: { [tier]: 'back' }, host: 'h2' }),
      await create({ sandbox: 'db', labels: { [tier]: 'back' } }),
    ].map(({ endpoint }) => endpoint);
    await admin.call(admin.endpoints.delete.bind(admin.endpoints), { id: made[2]?.id ?? '' });
    const list = async (filters: string[], fields: Partial<ListEndpointsRequest> = {}) => {
      const request = ListEndpointsRequest.fromPartial({ filters, ...fields });
      const { endpoints } = await admin.call(admin.endpoints.list.bind(admin.endpoints), request);
      return endpoints
        .map(({ sandbox }) => sandbox)
        .toSorted()
        .join(' ');
    };
    expect(await list([`label=${tier}`])).toBe('db web-1 web-2');
    expect(await list([`label=${tier}=back`])).toBe('db web-2');
    expect(await list([`label=${tier}=back`], { host: 'h2' })).toBe('web-2');
    expect(await list([`label=${tier}=back`], { network: name, host: 'h1' })).toBe('db');
    expect(await list([`label=${tier}`, `label!=${tier}=back`])).toBe('web-1');
    expect(await list(['label=constructor'], { network: name })).toBe('web-1');
    expect(await list(['label=__proto__'])).toBe('');
    expect(await list(['sandbox=WEB', 'state=pending'], { network: name })).toBe('web-1 web-2');
    expect(await list(['state=removing', 'state=ready'], { network: name })).toBe('db');
    expect(await list(['name=db'], { network: name })).toBe('db');
    expect(await list([`id=${made[0]?.id.slice(0, 8) ?? ''}`])).toBe('web-1');
    expect(await list(['sandbox=db'], { address: made[2]?.addresses[0] ?? '', network: name })).toBe('db');
    const error = await refusal(list(['state=gone', 'colour=red', 'name']));
    expect(error.violations.map(({ field }) => field)).toEqual(['filters[0]', 'filters[1]', 'filters[2]']);
    expect(error.violations[1]?.description).toContain('sandbox=');
  });
});

describe('ListAddressHistory', () => {
  const create = async (fields: Partial<CreateEndpointRequest> = {}) =>
    (
      await admin.call(
        admin.endpoints.create.bind(admin.endpoints),
        CreateEndpointRequest.fromPartial({ network: name, host: 'h1', sandbox: 'a', ...fields }),
      )
    ).endpoint;
  const remove = async (id: string, hostId = HOST_1): Promise<void> => {
    await admin.call(admin.endpoints.delete.bind(admin.endpoints), { id });
    const options = { requestId: 'r', signal: new AbortController().signal };
    await harness.brain.committer.run(
      (context) => releaseEndpoint(context, { id: id as ReturnType<typeof newEndpointId>, hostId }),
      options,
    );
  };
  const history = (fields: Partial<ListAddressHistoryRequest>, client = admin) =>
    client.call(
      client.endpoints.listAddressHistory.bind(client.endpoints),
      ListAddressHistoryRequest.fromPartial(fields),
    );
  const all = async (fields: Partial<ListAddressHistoryRequest>): Promise<readonly AddressHolding[]> => {
    const found: AddressHolding[] = [];
    let pageToken = '';
    do {
      const page = await history({ ...fields, pageToken });
      found.push(...page.holdings);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return found;
  };
  const who = (holdings: readonly AddressHolding[]): string => holdings.map(({ sandbox }) => sandbox).join(' ');
  /** Has the address held by sandbox after sandbox, and still by the last. */
  const succession = async (address: string, sandboxes: readonly string[]): Promise<void> => {
    for (const [index, sandbox] of sandboxes.entries()) {
      const endpoint = await create({ sandbox, addresses: [address] });
      if (index < sandboxes.length - 1) await remove(endpoint?.id ?? '');
    }
  };

  it('says who holds it, and who did, the newest first', async () => {
    const address = `10.1.0.${String(100 + serial)}`;
    await succession(address, ['one', 'two', 'three']);
    const { holdings, revision } = await history({ address });
    expect(holdings).toMatchObject(
      ['three', 'two', 'one'].map((sandbox) => ({ address, network: name, host: 'h1', hostId: HOST_1, sandbox })),
    );
    const [now, before] = holdings;
    expect(now).toMatchObject({ untilRevision: 0n, untilTime: undefined, fromTime: expect.any(Date) as Date });
    expect(before?.untilRevision).toBeLessThan(now?.fromRevision ?? 0n);
    expect(before?.untilTime).toBeInstanceOf(Date);
    expect(revision).toBe(harness.brain.cache.view.revision);
    expect((await history({ address: '10.1.0.254' })).holdings).toEqual([]);
  });

  it('knows networks by what they were called', async () => {
    const address = `10.1.0.${String(100 + serial)}`;
    await succession(address, ['one', 'two']);
    const [held] = (await history({ address })).holdings;
    await remove(held?.endpointId ?? '');
    await admin.call(admin.networks.delete.bind(admin.networks), { network: name });
    for (const network of [name, name.toUpperCase(), held?.networkId ?? '']) {
      expect(who((await history({ address, network })).holdings)).toBe('two one');
    }
    expect(await refusal(history({ address, network: 'nowhere' }))).toMatchObject({ reason: 'NETWORK_NOT_FOUND' });
    expect((await history({ address: '10.1.0.253' })).holdings).toEqual([]);
  });

  it('pages as of one revision, whoever gives the address to whom meanwhile', async () => {
    const address = `10.1.0.${String(100 + serial)}`;
    await succession(address, ['a', 'b', 'c', 'd', 'e']);
    const whole = await history({ address });
    expect(who(whole.holdings)).toBe('e d c b a');
    const first = await history({ address, pageSize: 1 });
    // It changes hands twice between two pages.
    await remove(first.holdings[0]?.endpointId ?? '');
    await create({ sandbox: 'f', addresses: [address] });
    const rest = [];
    let pageToken = first.nextPageToken;
    while (pageToken !== '') {
      const page = await history({ address, pageSize: 3, pageToken });
      expect(page.revision).toBe(first.revision);
      rest.push(...page.holdings);
      pageToken = page.nextPageToken;
    }
    expect([...first.holdings, ...rest]).toEqual(whole.holdings);
    expect(who(await all({ address, pageSize: 2 }))).toBe('f e d c b a');
  });

  it('misses nobody who gives the address back while it is read', async () => {
    const address = `10.1.0.${String(100 + serial)}`;
    const endpoint = await create({ addresses: [address] });
    const { store } = harness.brain;
    const list = store.list.bind(store);
    const spy = vi.spyOn(store, 'list').mockImplementationOnce(async (prefix, signal) => {
      await remove(endpoint?.id ?? '');
      return list(prefix, signal);
    });
    const { holdings } = await history({ address });
    spy.mockRestore();
    expect(holdings).toMatchObject([{ sandbox: 'a', endpointId: endpoint?.id }]);
  });

  it('shows the rest when a record cannot be read', async () => {
    const address = `10.1.0.${String(100 + serial)}`;
    await succession(address, ['one', 'two']);
    const { store } = harness.brain;
    const signal = new AbortController().signal;
    const [key] = (await store.list(`/weft/v1/h/addresses/${address}/`, signal)).entries.map((entry) => entry.key);
    const broken = `${key?.slice(0, key.lastIndexOf('/')) ?? ''}/${newEndpointId()}`;
    const puts = [broken, `${key ?? ''}/more`].map((each) => ({ key: each, value: Buffer.from('\u0007nonsense') }));
    await store.commit({ compares: [], puts, deletes: [] }, signal);
    expect(who((await history({ address })).holdings)).toBe('two one');
    expect((await store.get(objectKey.meta(), signal)).entry).toBeDefined();
  });

  it('refuses what makes no sense', async () => {
    const token = (text: string) => Buffer.from(text).toString('base64url');
    for (const [fields, field] of [
      [{ address: '' }, 'address'],
      [{ address: '10.1.0.0/24' }, 'address'],
      [{ address: '10.1.0.2', network: 'a b' }, 'network'],
      [{ address: '10.1.0.2', pageSize: 10_001 }, 'page_size'],
      [{ address: '10.1.0.2', pageToken: '%%%' }, 'page_token'],
      [{ address: '10.1.0.2', pageToken: token('1 2 3') }, 'page_token'],
      [{ address: '10.1.0.2', pageToken: token(newEndpointId()) }, 'page_token'],
    ] as const) {
      const error = await refusal(history(fields));
      expect([error.reason, error.violations.map((each) => each.field)]).toEqual(['ARGUMENT_INVALID', [field]]);
    }
    expect(await refusal(history({ address: '10.1.0.2', pageToken: token('9999999999999 0 1 x/y') }))).toMatchObject({
      reason: 'REVISION_AHEAD',
    });
    expect(await refusal(history({ address: '10.1.0.2' }, h1))).toMatchObject({ reason: 'NOT_ALLOWED' });
  });
});
