import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newNetworkId } from '../../core/ids.js';
import type { Host, Network, Subnet } from '../../core/model.js';
import { GUARDS } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { deleteEndpoint } from './endpoint.js';
import { Operator, refusalOf, wish } from './network.testing.js';

const signal = new AbortController().signal;

let store: MemoryStore;
let brain: Brain;
let operator: Operator;
let host: Host;
beforeEach(async () => {
  store = new MemoryStore();
  brain = await openBrain(store, { quarantineMs: 0, historyMs: 0 });
  operator = new Operator(brain);
  host = await operator.host(1);
});
afterEach(async () => {
  await brain[Symbol.asyncDispose]();
});

/** `10.1.0.0/24 via 10.1.0.1`, as people write subnets down. */
const text = ({ cidr, gateway, ipRange }: Subnet): string =>
  `${cidr} via ${gateway}${ipRange === undefined ? '' : ` from ${ipRange}`}`;
const shown = ({ subnets }: Network): string[] => subnets.map(text);

describe('updating labels and options', () => {
  it('puts them in the place of what was, and leaves the rest', async () => {
    const made = await operator.create({ labels: { a: '1', b: '2' }, options: { mtu: '1400' }, mtu: 1400 });
    const labelled = await operator.update(made.id, { labels: { b: '3' } });
    expect(labelled).toEqual({ ...made, labels: { b: '3' }, revision: labelled.revision });
    expect(labelled.revision).toBeGreaterThan(made.revision);
    const tuned = await operator.update(made.id, { options: { mtu: '1300', 'dns-search': 'a.example' } });
    expect(tuned).toMatchObject({
      ...{ mtu: 1300, labels: { b: '3' }, options: { mtu: '1300', 'dns-search': 'a.example' } },
    });
    expect((await operator.update(made.id, { options: {} })).mtu).toBeUndefined();
    expect(brain.cache.view.networks.get(made.id)?.labels).toEqual({ b: '3' });
  });

  it('changes nothing when everything is so already, whatever revision is named', async () => {
    const made = await operator.create({ labels: { a: '1' } });
    const change = { labels: { b: '2' }, options: { 'dns-ttl': '5' }, ifRevision: made.revision };
    const first = await operator.update(made.id, change);
    expect(await operator.update(made.id, change)).toEqual(first);
    expect(brain.cache.view.networks.get(made.id)?.revision).toBe(first.revision);
  });

  it('makes of the network what its create did not ask for, and says so when that is repeated', async () => {
    const first = { id: newNetworkId(), name: 'blue', labels: { a: '1' } };
    const made = await operator.create(first);
    expect(await operator.create(first)).toEqual(made);
    await operator.update(made.id, { labels: {} });
    const error = await refusalOf(operator.create(first));
    expect(error).toMatchObject({ reason: 'ID_TAKEN', metadata: { id: made.id } });
  });

  it('is refused when the network is not at the revision it must have', async () => {
    const made = await operator.create();
    const changed = await operator.update(made.id, { labels: { a: '1' } });
    const error = await refusalOf(operator.update(made.id, { labels: {}, ifRevision: made.revision }));
    expect(error).toMatchObject({
      reason: 'REVISION_CHANGED',
      metadata: { revision: String(changed.revision) },
    });
    expect((await operator.update(made.id, { labels: {}, ifRevision: changed.revision })).labels).toEqual({});
  });

  it('is refused for a network that is not there', async () => {
    const { id } = await operator.create();
    await operator.remove(id);
    expect((await refusalOf(operator.update(id, { labels: {} }))).reason).toBe('NETWORK_NOT_FOUND');
  });

  it('holds IPv6 to an MTU that it can have, whichever of the two comes last', async () => {
    const v6 = await operator.create({ ipv6: true });
    expect(await refusalOf(operator.update(v6.id, { options: { mtu: '1279' } }))).toMatchObject({
      ...{ reason: 'ARGUMENT_INVALID', violations: [{ field: 'options["mtu"]' }] },
    });
    const small = await operator.create({ subnets: [wish('10.1.0.0/24')], options: { mtu: '600' }, mtu: 600 });
    const both = [wish('10.1.0.0/24'), wish('fd01::/64')];
    expect(await refusalOf(operator.update(small.id, { subnets: both }))).toMatchObject({
      ...{ reason: 'ARGUMENT_INVALID', violations: [{ field: 'subnets' }] },
    });
    expect((await operator.update(small.id, { subnets: both, options: { mtu: '1280' } })).mtu).toBe(1280);
  });
});

describe('updating the subnets of a network that nobody uses', () => {
  it.each<[string, Parameters<typeof wish>[], Parameters<typeof wish>[], string[]]>([
    ['grows one in place, and keeps its gateway', [['10.1.1.0/24']], [['10.1.0.0/16']], ['10.1.0.0/16 via 10.1.1.1']],
    [
      'grows an IPv6 one and its range',
      [['fd01::/64', { ipRange: 'fd01::100/120' }]],
      [['fd01::/60', { ipRange: 'fd01::/64' }]],
      ['fd01::/60 via fd01::1 from fd01::/64'],
    ],
    [
      'grows a range alone',
      [['10.1.0.0/24', { ipRange: '10.1.0.64/26' }]],
      [['10.1.0.0/24', { ipRange: '10.1.0.0/25' }]],
      ['10.1.0.0/24 via 10.1.0.1 from 10.1.0.0/25'],
    ],
    ['shrinks one', [['10.1.0.0/16']], [['10.1.0.0/24']], ['10.1.0.0/24 via 10.1.0.1']],
    [
      'shrinks one away from its gateway when another is named',
      [['10.1.0.0/16']],
      [['10.1.9.0/24', { gateway: '10.1.9.9' }]],
      ['10.1.9.0/24 via 10.1.9.9'],
    ],
    [
      'names another gateway',
      [['10.1.0.0/24']],
      [['10.1.0.0/24', { gateway: '10.1.0.9' }]],
      ['10.1.0.0/24 via 10.1.0.9'],
    ],
    [
      'adds a family',
      [['10.1.0.0/24']],
      [['10.1.0.0/24'], ['fd01::/64']],
      ['10.1.0.0/24 via 10.1.0.1', 'fd01::/64 via fd01::1'],
    ],
    [
      'adds a second one, whose first address is kept',
      [['10.1.0.0/24']],
      [['10.1.0.0/24'], ['10.2.0.0/24', { aux: { router: '10.2.0.1' } }]],
      ['10.1.0.0/24 via 10.1.0.1', '10.2.0.0/24 via 10.2.0.2'],
    ],
    ['takes one away', [['10.1.0.0/24'], ['fd01::/64']], [['fd01::/64']], ['fd01::/64 via fd01::1']],
    ['replaces all', [['10.1.0.0/24']], [['fd01::/64']], ['fd01::/64 via fd01::1']],
  ])('%s', async (_, from, to, expected) => {
    const made = await operator.create({ subnets: from.map((each) => wish(...each)) });
    const subnets = to.map((each) => wish(...each));
    const updated = await operator.update(made.id, { subnets });
    expect(shown(updated)).toEqual(expected);
    expect(await operator.update(made.id, { subnets })).toEqual(updated);
    const { entries } = await store.list(GUARDS, signal);
    expect(entries.filter(({ key }) => key.includes('/addresses/'))).toEqual([]);
  });

  it.each<[string, Parameters<typeof wish>[], Parameters<typeof wish>[], string, string, RegExp]>([
    [
      'make one of two',
      [['10.1.0.0/24'], ['10.1.1.0/24']],
      [['fd01::/64'], ['10.1.0.0/23']],
      'FIELD_IMMUTABLE',
      'subnets[1].cidr',
      /one subnet of 10\.1\.0\.0\/24 and 10\.1\.1\.0\/24/,
    ],
    [
      'cut one apart',
      [['10.1.0.0/23']],
      [['10.1.0.0/24'], ['10.1.1.0/24', { gateway: '10.1.1.1' }]],
      'FIELD_IMMUTABLE',
      'subnets[1].cidr',
      /cannot be cut into several/,
    ],
    [
      'shrink it away from its gateway',
      [['10.1.0.0/16']],
      [['10.1.9.0/24']],
      'ARGUMENT_INVALID',
      'subnets[0].gateway',
      /10\.1\.0\.1 is not in 10\.1\.9\.0\/24$/,
    ],
    [
      'shrink it until its gateway is the network address',
      [['10.1.0.0/24', { gateway: '10.1.0.128' }]],
      [['10.1.0.128/25']],
      'ARGUMENT_INVALID',
      'subnets[0].gateway',
      /network address of 10\.1\.0\.128\/25$/,
    ],
    [
      'keep its gateway for others',
      [['10.1.0.0/24']],
      [['10.1.0.0/24', { aux: { router: '10.1.0.1' } }]],
      'ARGUMENT_INVALID',
      'subnets[0].aux_addresses["router"]',
      /10\.1\.0\.1 is the gateway/,
    ],
  ])('does not %s', async (_, from, to, reason, field, why) => {
    const made = await operator.create({ subnets: from.map((each) => wish(...each)) });
    const error = await refusalOf(operator.update(made.id, { subnets: to.map((each) => wish(...each)) }));
    expect(error.reason).toBe(reason);
    expect(error.violations).toEqual([{ field, description: expect.stringMatching(why) as string }]);
    expect(brain.cache.view.networks.get(made.id)).toEqual(made);
  });
});

describe('updating the subnets of a network with endpoints', () => {
  const changes = (network: Network, ...subnets: Parameters<typeof wish>[]) =>
    operator.update(network.id, { subnets: subnets.map((each) => wish(...each)) });

  it('grows and adds around them: they keep their addresses, those that come get of both families', async () => {
    const made = await operator.create({ subnets: [wish('10.1.1.0/30', { gateway: '10.1.1.2' })] });
    const first = await operator.attach(made.id, host);
    expect(first.addresses).toEqual(['10.1.1.1']);
    expect((await refusalOf(operator.attach(made.id, host, { sandbox: 'b' }))).reason).toBe('ADDRESSES_EXHAUSTED');
    await changes(made, ['10.1.0.0/16'], ['fd01::/64']);
    expect(brain.cache.view.endpoints.get(first.id)).toEqual(first);
    const second = await operator.attach(made.id, host, { sandbox: 'b' });
    expect(second.addresses).toEqual([expect.stringMatching(/^10\.1\./), 'fd01::2']);
    expect(await operator.attach(made.id, host, { sandbox: 'c', addresses: ['10.1.77.3'] })).toMatchObject({
      addresses: ['10.1.77.3', 'fd01::3'],
    });
  });

  it.each<[string, Parameters<typeof wish>[]]>([
    ['shrinks away from an address', [['10.1.0.0/25'], ['fd01::/64']]],
    ['makes an address the broadcast address', [['10.1.0.192/29', { gateway: '10.1.0.193' }], ['fd01::/64']]],
    ['keeps an address for others', [['10.1.0.0/24', { aux: { router: '10.1.0.199' } }], ['fd01::/64']]],
    ['takes a family away', [['fd01::/64']]],
    ['takes the other family away', [['10.1.0.0/24']]],
    ['goes elsewhere', [['10.2.0.0/24'], ['fd01::/64']]],
  ])('is refused when it %s, naming who holds it', async (what, to) => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24'), wish('fd01::/64')] });
    const held = await operator.attach(made.id, host, { addresses: ['10.1.0.199', 'fd01::9'] });
    const error = await refusalOf(changes(made, ...to));
    // Where the gateway would have to go too, that is said first.
    expect(error.reason).toBe(what.includes('broadcast') ? 'NETWORK_IN_USE' : 'ADDRESSES_HELD');
    expect(error.message).toMatch(/(10\.1\.0\.199|fd01::9) \(web@h1\)/);
    await operator.detach(held);
    const updated = await changes(made, ...to);
    expect(updated.subnets).toHaveLength(to.length);
  });

  it('shrinks as far as nobody holds anything', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/16'), wish('10.2.0.0/24')] });
    await operator.attach(made.id, host, { addresses: ['10.1.0.126'] });
    expect(shown(await changes(made, ['10.1.0.0/25']))).toEqual(['10.1.0.0/25 via 10.1.0.1']);
    expect((await refusalOf(changes(made, ['10.1.0.0/26']))).reason).toBe('ADDRESSES_HELD');
  });

  it('counts the addresses of endpoints that are being removed', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24')] });
    const { id } = await operator.attach(made.id, host, { addresses: ['10.1.0.200'] });
    await brain.committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), {
      requestId: '',
      signal,
    });
    expect((await refusalOf(changes(made, ['10.1.0.0/25']))).reason).toBe('ADDRESSES_HELD');
  });

  it('keeps the gateway that they have for their default route, and says so', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24'), wish('10.2.0.0/24')] });
    await operator.attach(made.id, host);
    const error = await refusalOf(changes(made, ['10.1.0.0/24', { gateway: '10.1.0.9' }], ['10.2.0.0/24']));
    expect(error.reason).toBe('NETWORK_IN_USE');
    expect(error.violations).toEqual([
      {
        field: 'subnets[0].gateway',
        description: expect.stringMatching(/^10\.1\.0\.1 is the default route/) as string,
      },
    ]);
    expect(error.message).toContain('10.1.0.2 (web@h1)');
    // Nobody has an address in the other one.
    const other = await changes(made, ['10.1.0.0/24'], ['10.2.0.0/24', { gateway: '10.2.0.9' }]);
    expect(shown(other)).toEqual(['10.1.0.0/24 via 10.1.0.1', '10.2.0.0/24 via 10.2.0.9']);
  });

  it('never brings a sandbox onto two networks that overlap', async () => {
    const one = await operator.create({ subnets: [wish('10.1.0.0/24')], name: 'one' });
    const two = await operator.create({ subnets: [wish('10.1.1.0/24')], name: 'two' });
    await operator.attach(one.id, host);
    await operator.attach(two.id, host);
    const alone = await operator.create({ subnets: [wish('10.1.2.0/24')] });
    await operator.attach(alone.id, host, { sandbox: 'alone' });
    const error = await refusalOf(changes(one, ['10.1.0.0/23']));
    expect(error).toMatchObject({ reason: 'SUBNETS_OVERLAP', metadata: { networkId: two.id } });
    expect(error.message).toContain('sandbox web on host h1');
    // Networks may overlap where no sandbox is on both.
    expect(shown(await changes(alone, ['10.1.0.0/22']))).toEqual(['10.1.0.0/22 via 10.1.2.1']);
  });
});

describe('removing a network', () => {
  it('leaves nothing of it behind, whatever was done with it', async () => {
    const made = await operator.create({ subnets: [wish('10.1.0.0/24')] });
    const other = await operator.create({ subnets: [wish('10.2.0.0/24')] });
    const endpoints = [await operator.attach(made.id, host), await operator.attach(other.id, host)];
    await operator.update(made.id, { subnets: [wish('10.1.0.0/23')] });
    for (const each of endpoints) await operator.detach(each);
    await operator.remove(made.id);
    await operator.remove(other.id);
    const { entries } = await store.list('/weft/v1/', signal);
    expect(entries.map(({ key }) => key).filter((key) => key.includes(made.id) || key.includes(other.id))).toEqual([]);
  });
});
