import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WeftError } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import {
  CreateNetworkRequest,
  ListNetworksRequest,
  SubnetRequest,
  UpdateNetworkRequest,
  type Network,
} from '../../proto/gen/weft/v1/network.js';
import { MemoryStore } from '../store/memory.js';
import { openController, type Harness, type TestClient } from '../testing.js';
import { refusalOf } from '../domain/network.testing.js';

let harness: Harness;
let admin: TestClient;
beforeEach(async () => {
  harness = await openController(new MemoryStore());
  admin = await harness.client({ role: 'admin', name: 'ops' });
});
afterEach(async () => {
  await harness[Symbol.asyncDispose]();
});

const found = (network: Network | undefined): Network => {
  if (network === undefined) throw new Error('an answer without a network');
  return network;
};
const create = async (name: string, fields: Partial<CreateNetworkRequest> = {}): Promise<Network> => {
  const request = { ...CreateNetworkRequest.fromPartial({ name }), ...fields };
  return found((await admin.call(admin.networks.create.bind(admin.networks), request)).network);
};
const update = (network: string, fields: Partial<UpdateNetworkRequest>) =>
  admin.call(admin.networks.update.bind(admin.networks), UpdateNetworkRequest.fromPartial({ network, ...fields }));
const get = async (network: string): Promise<Network> =>
  found((await admin.call(admin.networks.get.bind(admin.networks), { network, minRevision: 0n })).network);
const list = (fields: Partial<ListNetworksRequest> = {}) =>
  admin.call(admin.networks.list.bind(admin.networks), ListNetworksRequest.fromPartial(fields));
const named = async (...filters: string[]): Promise<string[]> =>
  (await list({ filters })).networks.map(({ name }) => name).sort();
const subnet = (cidr: string): SubnetRequest => SubnetRequest.fromPartial({ cidr });

describe('NetworkService', () => {
  it('changes what the mask names, and says the same again without changing anything', async () => {
    const made = await create('web', { labels: { a: '1' }, subnets: [subnet('10.1.0.0/24')] });
    const request = {
      ...{ updateMask: ['labels', 'options', 'subnets'], labels: { b: '2' }, ifRevision: made.revision },
      ...{ options: { mtu: '1400', 'dns-search': 'a.example' }, subnets: [subnet('10.1.0.0/16'), subnet('fd01::/64')] },
    };
    const first = await update('WEB', request);
    expect(first.network).toMatchObject({
      ...{ id: made.id, name: 'web', vni: made.vni, labels: { b: '2' }, mtu: 1400, requestId: 'test-request' },
      ...{ options: { mtu: '1400', 'dns-search': 'a.example' }, createTime: made.createTime },
      subnets: [
        { cidr: '10.1.0.0/16', gateway: '10.1.0.1', usage: { total: 65_533n, used: 0n, resting: 0n, free: 65_533n } },
        { cidr: 'fd01::/64', gateway: 'fd01::1' },
      ],
    });
    expect(found(first.network).revision).toBe(first.revision);
    const again = await update(made.id, request);
    expect(again.network).toEqual(first.network);
    expect(await get('web')).toEqual(first.network);
    expect(await refusalOf(update('web', { ...request, labels: {} }))).toMatchObject({
      ...{ reason: 'REVISION_CHANGED', violations: [{ field: 'if_revision' }] },
    });
    expect((await refusalOf(update('nobody', request))).reason).toBe('NETWORK_NOT_FOUND');
    expect(await refusalOf(update('web', { updateMask: ['name'] }))).toMatchObject({ reason: 'FIELD_IMMUTABLE' });
  });

  it('tells how much is in use in every answer', async () => {
    using agent = await openAgent();
    const made = await create('web', { subnets: [subnet('10.1.0.0/29'), subnet('fd01::/64')] });
    expect(made.usage).toEqual({ total: 5n, used: 0n, resting: 0n, free: 5n });
    const attach = CreateEndpointRequest.fromPartial({ network: 'web', host: agent.name, sandbox: 's' });
    await admin.call(admin.endpoints.create.bind(admin.endpoints), attach);
    const expected = { total: 5n, used: 1n, resting: 0n, free: 4n };
    expect((await get('web')).usage).toEqual(expected);
    const { networks } = await list();
    expect(networks.map(({ usage, subnets }) => [usage, subnets.map((each) => each.usage?.used)])).toEqual([
      [expected, [1n, 1n]],
    ]);
    expect((await update('web', { updateMask: ['labels'] })).network?.usage).toEqual(expected);
    expect(await refusalOf(admin.call(admin.networks.delete.bind(admin.networks), { network: 'web' }))).toMatchObject({
      ...{ reason: 'NETWORK_IN_USE', message: 'network web is in use by s@h1; disconnect them first' },
      metadata: { endpoints: '1' },
    });
  });

  it('lists what its filters let through', async () => {
    using agent = await openAgent();
    await create('web', { labels: { tier: 'front' } });
    await create('web-2', { labels: { tier: 'back' } });
    const db = await create('db');
    const attach = CreateEndpointRequest.fromPartial({ network: 'web', host: agent.name, sandbox: 's' });
    await admin.call(admin.endpoints.create.bind(admin.endpoints), attach);
    expect(await named()).toEqual(['db', 'web', 'web-2']);
    expect(await named('label=tier')).toEqual(['web', 'web-2']);
    expect(await named('label=tier=back')).toEqual(['web-2']);
    expect(await named('label!=tier')).toEqual(['db']);
    expect(await named('name=WEB')).toEqual(['web', 'web-2']);
    expect(await named(`id=${db.id.slice(0, 8)}`)).toEqual(['db']);
    expect(await named('dangling=true')).toEqual(['db', 'web-2']);
    expect(await named('dangling=false')).toEqual(['web']);
    expect(await named('driver=overlay')).toEqual(['db', 'web', 'web-2']);
    expect(await named('driver=bridge')).toEqual([]);
    expect(await named('until=1h')).toEqual([]);
    expect(await named('until=0s', 'name=db')).toEqual(['db']);
    await update('db', { updateMask: ['labels'], labels: { tier: 'back' } });
    await update('web-2', { updateMask: ['labels'], labels: {} });
    expect(await named('label=tier=back')).toEqual(['db']);
    const error = await refusalOf(list({ filters: ['name=web', 'colour=red'] }));
    expect(error.violations.map(({ field }) => field)).toEqual(['filters[1]']);
  });

  it('refuses the key that would be lost on the way', async () => {
    const labels = Object.fromEntries([['__proto__', 'x']]);
    const error: WeftError = await refusalOf(create('web', { labels }));
    expect(error).toMatchObject({ reason: 'ARGUMENT_INVALID', violations: [{ field: 'labels["__proto__"]' }] });
    expect(await named()).toEqual([]);
    expect((await create('web', { labels: { constructor: 'x' } })).labels).toEqual({ constructor: 'x' });
  });

  it('gives every network that is there throughout exactly once, whatever comes and goes between pages', async () => {
    const kept = await Promise.all(Array.from({ length: 20 }, (_, index) => create(`kept-${String(index)}`)));
    const seen: string[] = [];
    let pageToken = '';
    let serial = 0;
    let passing: string | undefined;
    do {
      const page = await list({ pageSize: 3, pageToken, filters: ['name=e'] });
      seen.push(...page.networks.map(({ name }) => name).filter((name) => name.startsWith('kept')));
      pageToken = page.nextPageToken;
      // Also the one that the token names.
      if (passing !== undefined) await admin.call(admin.networks.delete.bind(admin.networks), { network: passing });
      serial += 1;
      passing = (await create(`fleeting-${String(serial)}`, { id: newNetworkId() })).name;
    } while (pageToken !== '');
    expect(seen.toSorted()).toEqual(kept.map(({ name }) => name).toSorted());
  });

  it('lists a thousand networks in no time', async () => {
    for (let index = 0; index < 1_000; index += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, at) => {
          const number = index + at;
          const cidr = `10.${String(number >> 8)}.${String(number & 255)}.0/24`;
          return create(`n${String(number)}`, {
            subnets: [subnet(cidr), subnet(`fd00:0:0:${number.toString(16)}::/64`)],
          });
        }),
      );
    }
    const began = performance.now();
    expect((await list()).networks).toHaveLength(1_000);
    // Some 60 ms here; a count of every endpoint of every network would show.
    expect(performance.now() - began).toBeLessThan(1_000);
  }, 60_000);
});

/** Host h1, connected: endpoints are for hosts that are known. */
async function openAgent(): Promise<Disposable & { readonly name: string }> {
  const client = await harness.client({ role: 'host', name: 'h1' });
  const agent = client.agent({ vtep: '192.0.2.1' });
  await agent.session();
  return { name: 'h1', [Symbol.dispose]: () => agent.close() };
}
