/** Every field of every request, through the wire, with what must not be in it: refused with its path, nothing changed. */
import { Metadata, status as codes, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REASONS, WeftError, type Reason } from '../../core/errors.js';
import { newEndpointId, newHostId } from '../../core/ids.js';
import type { UnaryMethod } from '../../proto/call.js';
import { Status } from '../../proto/gen/google/rpc/status.js';
import {
  type BatchCreateEndpointsResult,
  BatchCreateEndpointsRequest,
  CreateEndpointRequest,
  ListAddressHistoryRequest,
  ListEndpointsRequest,
} from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest, ListNetworksRequest, UpdateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { decodeStatus } from '../../proto/status.js';
import { MemoryStore } from '../store/memory.js';
import { openController, type Harness, type TestClient } from '../testing.js';

const never = new AbortController().signal;
const store = new MemoryStore();
let harness: Harness;
let admin: TestClient;
let host: TestClient;
let endpointId: string;

beforeAll(async () => {
  harness = await openController(store);
  admin = await harness.client({ role: 'admin', name: 'ops' });
  host = await harness.client({ role: 'host', name: 'h1' });
  const agent = host.agent({ vtep: '192.0.2.1' });
  await agent.inSync();
  const { networks, endpoints } = admin;
  for (const [name, ...cidrs] of [
    ['net', '10.50.0.0/24', 'fd00:50::/64'],
    ['twin', '10.50.0.0/25'],
  ] as const) {
    const request = CreateNetworkRequest.fromPartial({ name, subnets: cidrs.map((cidr) => ({ cidr })) });
    await admin.call(networks.create.bind(networks), request);
  }
  const request = CreateEndpointRequest.fromPartial({
    ...{ network: 'net', host: 'h1', sandbox: 'here', addresses: ['10.50.0.10'], mac: '02:00:00:00:00:10' },
  });
  endpointId = (await admin.call(endpoints.create.bind(endpoints), request)).endpoint?.id ?? '';
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

/** Every key with its value and revision. */
async function everything(): Promise<string[]> {
  const { entries } = await store.list('', never);
  return entries.map(
    ({ key, value, modRevision }) => `${key} ${String(modRevision)} ${Buffer.from(value).toString('hex')}`,
  );
}

async function refusalOf(work: Promise<unknown>): Promise<WeftError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WeftError)) throw new Error(`not refused: ${String(error)}`);
  return error;
}

/** What an answer must be like, whatever was asked: one of the table, and nothing in it that a terminal obeys. */
function expectSound({ reason, message, violations }: WeftError): void {
  expect(Object.keys(REASONS)).toContain(reason);
  expect(reason).not.toBe('INTERNAL');
  for (const text of [message, ...violations.flatMap(({ field, description }) => [field, description])]) {
    expect(text).toMatch(/^\P{Cc}+$/u);
    expect(text.length).toBeLessThan(20_000);
  }
}

// --- What must not be in a field, by what it is to hold ---

const LONG = 'a'.repeat(1 << 20);
const NAMES = [
  '',
  'a.b',
  'a b',
  ' a',
  'a\nb',
  'a\n',
  '\u001b[31mred',
  'a\u007f',
  '\u009b31m',
  'a\u0000',
  'é',
  '-x',
  'x-',
  '_',
  'a/b',
  '..',
  '*',
  'a'.repeat(64),
  LONG,
];
const REFERENCES = NAMES;
const IDS = [
  ...['x', ' ', '\u0000', '8F14E45F-CEEA-467F-A8E3-0D2F1ED6B5A1', '8f14e45fceea467fa8e30d2f1ed6b5a1', LONG],
  ...['8f14e45f-ceea-467f-a8e3-0d2f1ed6b5ag', '8f14e45f-ceea-467f-a8e3-0d2f1ed6b5a1\n', '../../../../o/meta'],
];
const CIDRS = [
  ...['', 'x', '/', '/24', '10.1.0.0', '10.1.0.0/', '10.1.0.0/33', '10.1.0.0/-1', '10.1.0.0/1e1', '10.1.0.0/24/8'],
  ...['10.1.0.0/24 ', ' 10.1.0.0/24', '10.1.0.0/24\n', '10.1/16', '010.1.0.0/24', '10.1.0.0/024', '300.1.0.0/24'],
  // Host bits set.
  ...['10.1.0.1/24', 'fd00:1::1/64', '10.1.0.128/24'],
  // Too small, too large.
  ...['10.1.0.0/31', '10.1.0.0/32', '0.0.0.0/0', '10.0.0.0/7', '::/0', 'fd00::/47', 'fd00:1::/127', 'fd00:1::/128'],
  ...[
    'fd00:1::/129',
    'fd00:1:::/64',
    'fd00:1::/64%eth0',
    '0.0.0.0/8',
    '127.0.0.0/8',
    '224.0.0.0/8',
    'fe80::/64',
    'ff00::/64',
    LONG,
  ],
];
const ADDRESSES = [
  ...['', 'x', '10.50.0', '10.50.0.256', '010.50.0.2', '10.50.0.2/24', ' 10.50.0.2', '10.50.0.2\n', '1', '0x0a320002'],
  ...['fd00:50:::1', 'fd00:50::1%eth0', '[fd00:50::2]', 'fd00:50::g', LONG],
];
const MACS = [
  ...['x', '02:00', '01:00:5e:00:00:01', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', '02:57:46:00:00:01', '0242ac110002'],
  ...['02:42:ac:11:00:02:03', '02-42-ac-11-00-02', '02:42:ac:11:00:0g', ' 02:42:ac:11:00:02', LONG],
];
const LABELS: readonly Record<string, string>[] = [
  ...[{ '': 'v' }, { 'a b': 'v' }, { 'a=b': 'v' }, { 'a\u0000': 'v' }, { 'a\n': 'v' }, { ['k'.repeat(129)]: 'v' }],
  ...[{ k: 'x'.repeat(1_025) }, { k: '\u0007' }, { k: 'a\nb' }, { k: LONG }, { [LONG]: 'v' }],
  Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${String(index)}`, 'v'])),
  Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`k${String(index)}`, 'v'.repeat(1_000)])),
];
const OPTIONS: readonly Record<string, string>[] = [
  ...[{ '': '' }, { frob: '1' }, { 'mtu\u0000': '1400' }, { MTU: '1400' }, { [LONG]: '' }, { __proto__x: '' }],
  ...['', '0', '-1', '575', '65536', '1e3', '1400.0', '0x578', ' 1400', '1400\n', LONG].map((mtu) => ({ mtu })),
  ...[
    '',
    ',',
    'a,',
    'a b',
    '.',
    'a..b',
    '-a.example',
    `${'a'.repeat(64)}.example`,
    'a\nnameserver 192.0.2.9',
    LONG,
  ].map((domains) => ({ 'dns-search': domains })),
  ...[
    '',
    'frob',
    'ndots',
    'ndots:',
    'ndots:-1',
    'ndots:16',
    'ndots:1 timeout:1',
    'timeout:0',
    'rotate:1',
    'rotate\n',
    LONG,
  ].map((each) => ({ 'dns-option': each })),
  ...['', '-1', '3601', '1.5', 'x', '1e2', LONG].map((seconds) => ({ 'dns-ttl': seconds })),
];
const OPTIONS_NOT_BUILT = ['encrypted', 'multicast', 'parent', 'dns'].map((name) => ({ [name]: 'true' }));
const REVISIONS = [-1n, -(2n ** 63n)];
const PAGE_SIZES = [10_001, 2 ** 31, 2 ** 32 - 1];
const TOKENS = [
  '%%%',
  '\u0000',
  'x',
  Buffer.from('x').toString('base64url'),
  Buffer.from('../o/meta').toString('base64url'),
  LONG,
];
const FILTERS = [
  '',
  '=',
  'label',
  'label=',
  'label==v',
  'label!=',
  'frob=1',
  'name',
  'name=',
  'name!=x',
  '__proto__=x',
  'constructor=x',
  LONG,
].map((filter) => [filter]);

// --- The requests ---

/** A request, the field that is wrong in it, and what it is refused with. */
interface Case {
  readonly method: string;
  readonly field: string;
  readonly what: string;
  readonly reason: Reason;
  readonly call: () => Promise<unknown>;
}

/** Cases of one field: `put` makes the request with a value in it; the rest of it is well. */
function cases<Value, Request>(
  method: readonly [name: string, of: () => UnaryMethod<Request, unknown>],
  field: string,
  values: readonly Value[],
  put: (value: Value) => Request,
  reason: Reason = 'ARGUMENT_INVALID',
): Case[] {
  const [name, of] = method;
  return values.map((value) => ({
    ...{ method: name, field, reason },
    what: short(value),
    call: () => admin.call(of(), put(value)),
  }));
}

function short(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}... (${String(text.length)})` : text;
}

type Fields<Message extends { fromPartial(fields: never): unknown }> = Parameters<Message['fromPartial']>[0];

const createNetwork = ['NetworkService/Create', () => admin.networks.create.bind(admin.networks)] as const;
const network = (fields: Fields<typeof CreateNetworkRequest>) =>
  CreateNetworkRequest.fromPartial({ name: 'x', ...fields });
const subnet = (fields: Record<string, unknown>) =>
  network({ subnets: [{ cidr: '10.1.0.0/24' }, { cidr: '10.2.0.0/24', ...fields }] });

const NETWORK_CREATE: readonly Case[] = [
  ...cases(createNetwork, 'name', [...NAMES, 'bridge', 'HOST', 'none', newHostId()], (name) => network({ name })),
  ...cases(createNetwork, 'id', IDS, (id) => network({ id })),
  ...cases(createNetwork, 'driver', ['frob', 'Overlay', ' overlay', '\u0000', LONG], (driver) => network({ driver })),
  ...cases(createNetwork, 'driver', ['bridge', 'macvlan'], (driver) => network({ driver }), 'OPTION_NOT_BUILT'),
  ...cases(createNetwork, 'subnets[1].cidr', [...CIDRS, '10.1.0.0/25', '10.0.0.0/8'], (cidr) => subnet({ cidr })),
  ...cases(
    createNetwork,
    'subnets[1].gateway',
    [...ADDRESSES.slice(1), '10.2.0.0', '10.2.0.255', '10.3.0.1', 'fd00::1', '127.0.0.1'],
    (gateway) => subnet({ gateway }),
  ),
  ...cases(
    createNetwork,
    'subnets[1].ip_range',
    ['x', '10.2.0.1/25', '10.3.0.0/25', '10.2.0.0/16', 'fd00::/80', '10.2.0.0', LONG],
    (ipRange) => subnet({ ipRange }),
  ),
  ...[...ADDRESSES, '10.2.0.0', '10.2.0.255', '10.3.0.9', 'fd00::9'].flatMap((address) =>
    cases(createNetwork, 'subnets[1].aux_addresses["p"]', [address], () => subnet({ auxAddresses: { p: address } })),
  ),
  ...cases(createNetwork, 'subnets[1].aux_addresses[', NAMES, (name) =>
    subnet({ auxAddresses: { [name]: '10.2.0.9' } }),
  ),
  ...cases(createNetwork, 'subnets[1].aux_addresses["q"]', [1], () =>
    subnet({ auxAddresses: { p: '10.2.0.9', q: '10.2.0.9' } }),
  ),
  ...cases(createNetwork, 'subnets[1].aux_addresses["p"]', [1], () =>
    subnet({ gateway: '10.2.0.9', auxAddresses: { p: '10.2.0.9' } }),
  ),
  ...cases(createNetwork, 'subnets[1].aux_addresses', [65, 10_000], (count) =>
    subnet({
      auxAddresses: Object.fromEntries(
        Array.from({ length: count }, (_, index) => [`p${String(index)}`, `10.2.0.${String(2 + (index % 250))}`]),
      ),
    }),
  ),
  ...cases(createNetwork, 'subnets', [65, 100_000], (count) =>
    network({ subnets: Array.from({ length: count }, (_, index) => ({ cidr: `10.${String(index % 200)}.0.0/24` })) }),
  ),
  ...cases(createNetwork, 'labels', LABELS, (labels) => network({ labels })),
  ...cases(createNetwork, 'labels', [300_000], (count) =>
    network({ labels: Object.fromEntries(Array.from({ length: count }, (_, index) => [String(index), ''])) }),
  ),
  ...cases(createNetwork, 'options', OPTIONS, (options) => network({ options })),
  ...cases(createNetwork, 'options', OPTIONS_NOT_BUILT, (options) => network({ options }), 'OPTION_NOT_BUILT'),
];

const updateNetwork = ['NetworkService/Update', () => admin.networks.update.bind(admin.networks)] as const;
const update = (updateMask: readonly string[], fields: Fields<typeof UpdateNetworkRequest> = {}) =>
  UpdateNetworkRequest.fromPartial({ network: 'net', updateMask: [...updateMask], ...fields });

const NETWORK_UPDATE: readonly Case[] = [
  ...cases(updateNetwork, 'network', REFERENCES, (reference) => update(['labels'], { network: reference })),
  ...cases(
    updateNetwork,
    '',
    ['nosuch', newHostId()],
    (reference) => update(['labels'], { network: reference }),
    'NETWORK_NOT_FOUND',
  ),
  ...cases(updateNetwork, 'update_mask', [[]], (mask) => update(mask)),
  ...cases(
    updateNetwork,
    'update_mask.paths[1]',
    ['', 'frob', '*', 'Labels', 'labels.k', 'subnets[0]', '__proto__', '\u0000', LONG],
    (path) => update(['labels', path]),
  ),
  ...cases(updateNetwork, 'update_mask.paths', [65, 100_000], (count) =>
    update(Array.from({ length: count }, () => 'labels')),
  ),
  ...cases(
    updateNetwork,
    'update_mask.paths[0]',
    ['id', 'name', 'driver', 'vni', 'internal', 'mtu', 'revision', 'request_id', 'usage', 'create_time'],
    (path) => update([path]),
    'FIELD_IMMUTABLE',
  ),
  ...cases(updateNetwork, 'labels', LABELS, (labels) => update(['labels'], { labels })),
  ...cases(updateNetwork, 'options', OPTIONS, (options) => update(['options'], { options })),
  ...cases(
    updateNetwork,
    'options',
    OPTIONS_NOT_BUILT,
    (options) => update(['options'], { options }),
    'OPTION_NOT_BUILT',
  ),
  ...cases(updateNetwork, 'options', ['1000', '1279'], (mtu) => update(['options'], { options: { mtu } })),
  ...cases(updateNetwork, 'subnets', [[]], (subnets) => update(['subnets'], { subnets })),
  ...cases(updateNetwork, 'subnets[0].cidr', CIDRS, (cidr) => update(['subnets'], { subnets: [{ cidr }] })),
  ...cases(updateNetwork, 'subnets[1].cidr', ['10.50.0.0/25', '10.0.0.0/8'], (cidr) =>
    update(['subnets'], { subnets: [{ cidr: '10.50.0.0/24' }, { cidr }] }),
  ),
  ...cases(updateNetwork, 'subnets', [65], (count) =>
    update(['subnets'], {
      subnets: Array.from({ length: count }, (_, index) => ({ cidr: `10.${String(index)}.0.0/24` })),
    }),
  ),
  ...cases(
    updateNetwork,
    'subnets',
    ['10.51.0.0/24', '10.50.0.0/29'],
    (cidr) => update(['subnets'], { subnets: [{ cidr }] }),
    'ADDRESSES_HELD',
  ),
  ...cases(
    updateNetwork,
    'subnets[0].gateway',
    ['10.50.0.9'],
    (gateway) => update(['subnets'], { subnets: [{ cidr: '10.50.0.0/24', gateway }, { cidr: 'fd00:50::/64' }] }),
    'NETWORK_IN_USE',
  ),
  ...cases(updateNetwork, 'if_revision', REVISIONS, (ifRevision) => update(['labels'], { ifRevision })),
  ...cases(
    updateNetwork,
    'if_revision',
    [1n, 2n ** 62n],
    (ifRevision) => update(['labels'], { ifRevision, labels: { k: 'v' } }),
    'REVISION_CHANGED',
  ),
];

const createEndpoint = ['EndpointService/Create', () => admin.endpoints.create.bind(admin.endpoints)] as const;
const batchCreate = ['EndpointService/BatchCreate', () => admin.endpoints.batchCreate.bind(admin.endpoints)] as const;
const endpoint = (fields: Fields<typeof CreateEndpointRequest>) =>
  CreateEndpointRequest.fromPartial({ network: 'net', host: 'h1', sandbox: 'x', ...fields });

/** Fields of an endpoint's request; the same whether it comes alone or among others. */
const ENDPOINT_FIELDS: readonly (readonly [string, readonly Fields<typeof CreateEndpointRequest>[], Reason?])[] = [
  ['id', IDS.map((id) => ({ id }))],
  ['network', REFERENCES.map((reference) => ({ network: reference }))],
  ['network', ['bridge', 'Host', 'none'].map((reference) => ({ network: reference })), 'OPTION_NOT_BUILT'],
  ['', ['nosuch', newHostId()].map((reference) => ({ network: reference })), 'NETWORK_NOT_FOUND'],
  ['host', REFERENCES.map((reference) => ({ host: reference }))],
  ['', ['nosuch', newHostId()].map((reference) => ({ host: reference })), 'HOST_NOT_FOUND'],
  ['sandbox', NAMES.map((sandbox) => ({ sandbox }))],
  ['aliases[1]', [...NAMES, 'a', 'A'].map((alias) => ({ aliases: ['a', alias] }))],
  [
    'aliases',
    [65, 100_000].map((count) => ({ aliases: Array.from({ length: count }, (_, index) => `a${String(index)}`) })),
  ],
  [
    'addresses[0]',
    [
      ...ADDRESSES,
      '10.50.0.0',
      '10.50.0.1',
      '10.50.0.255',
      '10.51.0.9',
      'fd00:50::1',
      'fd00:50::',
      'fd00:51::9',
      '0.0.0.0',
      '::',
    ].map((address) => ({ addresses: [address] })),
  ],
  ['addresses[1]', [{ addresses: ['10.50.0.5', '10.50.0.6'] }, { addresses: ['10.50.0.5', '10.50.0.5'] }]],
  ['addresses[2]', [{ addresses: ['10.50.0.5', 'fd00:50::5', '10.50.0.6'] }]],
  ['addresses', [{ addresses: Array.from({ length: 100_000 }, () => '10.50.0.7') }]],
  ['addresses[0]', [{ addresses: ['10.50.0.10'] }], 'ADDRESS_TAKEN'],
  ['mac', MACS.map((mac) => ({ mac }))],
  ['', [{ mac: '02:00:00:00:00:10' }, { mac: '02:00:00:00:00:10'.toUpperCase() }], 'MAC_TAKEN'],
  ['labels', LABELS.map((labels) => ({ labels }))],
  ['', [{ sandbox: 'here' }, { sandbox: 'HERE' }], 'ALREADY_CONNECTED'],
  ['', [{ network: 'twin', sandbox: 'here' }], 'SUBNETS_OVERLAP'],
];

const ENDPOINT_CREATE = ENDPOINT_FIELDS.flatMap(([field, wrong, reason]) =>
  cases(createEndpoint, field, wrong, endpoint, reason),
);

/** The same as the second of three, of which the others are as wrong in another way; the error of it alone. */
const ENDPOINT_BATCH: readonly Case[] = ENDPOINT_FIELDS.flatMap(([field, wrong, reason]) =>
  cases(
    batchCreate,
    field === '' ? '' : `requests[1].${field}`,
    wrong,
    () => BatchCreateEndpointsRequest.fromPartial({}),
    reason,
  ).map(({ call: _, ...each }, index) => ({
    ...each,
    call: async () => {
      const other = endpoint({ network: 'nosuch' });
      const requests = [other, endpoint(wrong[index] ?? {}), other];
      const { results } = await admin.call(batchCreate[1](), BatchCreateEndpointsRequest.fromPartial({ requests }));
      const reasons = results.map(errorOf);
      expect([reasons[0]?.reason, reasons[2]?.reason]).toEqual(['NETWORK_NOT_FOUND', 'NETWORK_NOT_FOUND']);
      if (reasons[1] !== undefined) throw reasons[1];
    },
  })),
);

const getNetwork = ['NetworkService/Get', () => admin.networks.get.bind(admin.networks)] as const;
const listNetworks = ['NetworkService/List', () => admin.networks.list.bind(admin.networks)] as const;
const deleteNetwork = ['NetworkService/Delete', () => admin.networks.delete.bind(admin.networks)] as const;
const getEndpoint = ['EndpointService/Get', () => admin.endpoints.get.bind(admin.endpoints)] as const;
const listEndpoints = ['EndpointService/List', () => admin.endpoints.list.bind(admin.endpoints)] as const;
const listHistory = [
  'EndpointService/ListAddressHistory',
  () => admin.endpoints.listAddressHistory.bind(admin.endpoints),
] as const;
const deleteEndpoint = ['EndpointService/Delete', () => admin.endpoints.delete.bind(admin.endpoints)] as const;
const getHost = ['HostService/Get', () => admin.hosts.get.bind(admin.hosts)] as const;
const listHosts = ['HostService/List', () => admin.hosts.list.bind(admin.hosts)] as const;
const wait = ['ClusterService/Wait', () => admin.cluster.wait.bind(admin.cluster)] as const;

const networksPage = (fields: Fields<typeof ListNetworksRequest>) => ListNetworksRequest.fromPartial(fields);
const endpointsPage = (fields: Fields<typeof ListEndpointsRequest>) => ListEndpointsRequest.fromPartial(fields);
const historyPage = (fields: Fields<typeof ListAddressHistoryRequest>) =>
  ListAddressHistoryRequest.fromPartial({ address: '10.50.0.10', ...fields });
const UNTIL = ['x', '24', '24x', '-1h', '1h ', '2026-13-01', '2026-01-31T25:00:00Z', 'Infinity', '1'.repeat(13)];

const READS: readonly Case[] = [
  ...cases(getNetwork, 'network', REFERENCES, (reference) => ({ network: reference, minRevision: 0n })),
  ...cases(getNetwork, 'min_revision', REVISIONS, (minRevision) => ({ network: 'net', minRevision })),
  ...cases(getNetwork, '', ['nosuch'], (reference) => ({ network: reference, minRevision: 0n }), 'NETWORK_NOT_FOUND'),
  ...cases(
    getNetwork,
    '',
    [2n ** 62n, 2n ** 63n - 1n],
    (minRevision) => ({ network: 'net', minRevision }),
    'REVISION_AHEAD',
  ),
  ...cases(listNetworks, 'page_size', PAGE_SIZES, (pageSize) => networksPage({ pageSize })),
  ...cases(listNetworks, 'page_token', TOKENS, (pageToken) => networksPage({ pageToken })),
  ...cases(listNetworks, 'min_revision', REVISIONS, (minRevision) => networksPage({ minRevision })),
  ...cases(listNetworks, 'filters[0]', FILTERS, (filters) => networksPage({ filters })),
  ...cases(
    listNetworks,
    'filters[0]',
    ['driver=', 'dangling=maybe', 'dangling=', ...UNTIL.slice(2).map((text) => `until=${text}`)],
    (filter) => networksPage({ filters: [filter] }),
  ),
  ...cases(listNetworks, 'filters', [65, 100_000], (count) =>
    networksPage({ filters: Array.from({ length: count }, () => 'name=x') }),
  ),
  ...cases(deleteNetwork, 'network', REFERENCES, (reference) => ({ network: reference })),
  ...cases(deleteNetwork, '', ['nosuch', newHostId()], (reference) => ({ network: reference }), 'NETWORK_NOT_FOUND'),
  ...cases(deleteNetwork, '', ['net', 'NET'], (reference) => ({ network: reference }), 'NETWORK_IN_USE'),
  ...cases(getEndpoint, 'id', ['', ...IDS], (id) => ({ id, minRevision: 0n })),
  ...cases(getEndpoint, '', [newEndpointId()], (id) => ({ id, minRevision: 0n }), 'ENDPOINT_NOT_FOUND'),
  ...cases(getEndpoint, 'min_revision', REVISIONS, (minRevision) => ({ id: newEndpointId(), minRevision })),
  ...cases(listEndpoints, 'network', REFERENCES.slice(1), (reference) => endpointsPage({ network: reference })),
  ...cases(listEndpoints, 'host', REFERENCES.slice(1), (reference) => endpointsPage({ host: reference })),
  ...cases(listEndpoints, 'address', ADDRESSES.slice(1), (address) => endpointsPage({ address })),
  ...cases(listEndpoints, 'page_size', PAGE_SIZES, (pageSize) => endpointsPage({ pageSize })),
  ...cases(listEndpoints, 'page_token', TOKENS, (pageToken) => endpointsPage({ pageToken })),
  ...cases(listEndpoints, 'min_revision', REVISIONS, (minRevision) => endpointsPage({ minRevision })),
  ...cases(listEndpoints, 'filters[0]', FILTERS, (filters) => endpointsPage({ filters })),
  // What is no word of an enumeration.
  ...cases(
    listEndpoints,
    'filters[0]',
    ['', 'gone', 'READY', '0', '__proto__', 'constructor'].map((state) => `state=${state}`),
    (filter) => endpointsPage({ filters: [filter] }),
  ),
  ...cases(listEndpoints, '', ['nosuch'], (reference) => endpointsPage({ network: reference }), 'NETWORK_NOT_FOUND'),
  ...cases(listEndpoints, '', ['nosuch'], (reference) => endpointsPage({ host: reference }), 'HOST_NOT_FOUND'),
  ...cases(listHistory, 'address', ADDRESSES, (address) => historyPage({ address })),
  ...cases(listHistory, 'network', REFERENCES.slice(1), (reference) => historyPage({ network: reference })),
  ...cases(listHistory, '', ['nosuch'], (reference) => historyPage({ network: reference }), 'NETWORK_NOT_FOUND'),
  ...cases(listHistory, 'page_size', PAGE_SIZES, (pageSize) => historyPage({ pageSize })),
  ...cases(listHistory, 'page_token', TOKENS, (pageToken) => historyPage({ pageToken })),
  ...cases(deleteEndpoint, 'id', ['', ...IDS], (id) => ({ id })),
  ...cases(deleteEndpoint, '', [newEndpointId()], (id) => ({ id }), 'ENDPOINT_NOT_FOUND'),
  ...cases(createEndpoint, '', [1], () => endpoint({ id: endpointId }), 'ID_TAKEN'),
  ...cases(getHost, 'host', REFERENCES, (reference) => ({ host: reference, minRevision: 0n })),
  ...cases(getHost, 'min_revision', REVISIONS, (minRevision) => ({ host: 'h1', minRevision })),
  ...cases(getHost, '', ['nosuch'], (reference) => ({ host: reference, minRevision: 0n }), 'HOST_NOT_FOUND'),
  ...cases(listHosts, 'page_size', PAGE_SIZES, (pageSize) => ({ pageSize, pageToken: '', minRevision: 0n })),
  ...cases(listHosts, 'page_token', TOKENS, (pageToken) => ({ pageSize: 0, pageToken, minRevision: 0n })),
  ...cases(listHosts, 'min_revision', REVISIONS, (minRevision) => ({ pageSize: 0, pageToken: '', minRevision })),
  ...cases(wait, 'revision', REVISIONS, (revision) => ({ revision })),
  ...cases(batchCreate, 'requests', [1_001, 50_000], (count) =>
    BatchCreateEndpointsRequest.fromPartial({ requests: Array.from({ length: count }, () => ({})) }),
  ),
];

/** The error in the place of one of many, read as if it had come alone. */
function errorOf({ outcome }: BatchCreateEndpointsResult): WeftError | undefined {
  if (outcome?.$case !== 'error') return undefined;
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode(outcome.value).finish()));
  const error = Object.assign(new Error(), { code: codes.UNKNOWN, details: outcome.value.message, metadata });
  return decodeStatus(error, { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' });
}

const LARGE = LONG.slice(0, 10_000);

/** Everything that can be wrong with a network, as often as a message has room for it. */
const EVERYTHING = network({
  ...{ id: LARGE, name: LARGE, driver: LARGE, options: { [LARGE]: '' } },
  labels: Object.fromEntries(
    Array.from({ length: 64 }, (_, index) => [`${' '.repeat(200)}${String(index)}`, '\u0000']),
  ),
  subnets: Array.from({ length: 64 }, (_, index) => ({
    ...{ cidr: `${'x'.repeat(300)}${String(index)}`, gateway: 'y'.repeat(300), ipRange: '\u0000'.repeat(300) },
    auxAddresses: Object.fromEntries(
      Array.from({ length: 64 }, (_each, key) => [`\u0007${'z'.repeat(200)}${String(key)}`, 'z'.repeat(100)]),
    ),
  })),
});

/** Cases of one field are one test. */
function byField(table: readonly Case[]): { readonly name: string; readonly group: readonly Case[] }[] {
  const groups = new Map<string, Case[]>();
  for (const each of table) {
    const name = `${each.method} ${each.field}: ${each.reason}`;
    groups.set(name, [...(groups.get(name) ?? []), each]);
  }
  return [...groups].map(([name, group]) => ({ name, group }));
}

describe.each([
  ['creating a network', NETWORK_CREATE],
  ['updating a network', NETWORK_UPDATE],
  ['creating an endpoint', ENDPOINT_CREATE],
  ['creating endpoints', ENDPOINT_BATCH],
  ['everything else', READS],
])('%s', (_, table) => {
  it.each(byField(table))('$name', async ({ group }) => {
    const before = await everything();
    for (const { what, field, reason, call } of group) {
      const error = await refusalOf(call());
      expectSound(error);
      expect({ what, reason: error.reason }).toEqual({ what, reason });
      const fields = error.violations.map((violation) => violation.field);
      if (field !== '')
        expect(
          fields.filter((each) => !each.startsWith(field)),
          what,
        ).toEqual([]);
      if (field !== '') expect(fields.length, what).toBeGreaterThan(0);
    }
    expect(await everything()).toEqual(before);
  });
});

describe('an answer', () => {
  it('is short, however much is wrong', async () => {
    const error = await refusalOf(admin.call(createNetwork[1](), EVERYTHING));
    expectSound(error);
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations.length).toBe(10);
    const requests = Array.from({ length: 500 }, () =>
      endpoint({ sandbox: LONG.slice(0, 2_000), aliases: ['a b', 'c d'], addresses: ['x'] }),
    );
    const { results } = await admin.call(batchCreate[1](), BatchCreateEndpointsRequest.fromPartial({ requests }));
    expect(new Set(results.map((result) => errorOf(result)?.reason))).toEqual(new Set(['ARGUMENT_INVALID']));
  });
});

describe('an agent’s stream', () => {
  const id = newHostId();
  const prefixes = (...cidrs: string[]) => ({ hostId: id, vtep: '192.0.2.9', prefixes: { cidrs } });

  it.each([
    ['hello.host_id', [...IDS, ''].map((hostId) => ({ hostId, vtep: '192.0.2.9' }))],
    [
      'hello.vtep',
      [...ADDRESSES.slice(1), '0.0.0.0', '127.0.0.1', '224.0.0.1', '::1', 'fe80::1', '::'].map((vtep) => ({
        hostId: id,
        vtep,
      })),
    ],
    [
      'hello.version',
      ['a b', '\u001b[31m', 'é', 'a'.repeat(65), LONG].map((version) => ({ hostId: id, vtep: '192.0.2.9', version })),
    ],
    [
      'hello.prefixes.cidrs[1]',
      ['', 'x', '10.0.0.1/8', '10.0.0.0/33', LONG].map((cidr) => prefixes('10.0.0.0/8', cidr)),
    ],
    [
      'hello.prefixes.cidrs',
      [prefixes(...Array.from({ length: 257 }, (_, index) => `10.${String(index % 256)}.0.0/16`))],
    ],
  ])('is refused for a wrong %s', async (field, hellos) => {
    const stranger = await harness.client({ role: 'host', name: 'h9' });
    const before = await everything();
    for (const hello of hellos) {
      const ended = (await stranger.agent(hello).ended) as ServiceError;
      const error = decodeStatus(ended, { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' });
      expectSound(error);
      expect({ reason: error.reason, fields: error.violations.map((each) => each.field) }).toEqual({
        ...{ reason: 'ARGUMENT_INVALID', fields: [expect.stringContaining(field)] },
      });
    }
    expect(await everything()).toEqual(before);
  });

  it('changes nothing by what means nothing', async () => {
    const client = await harness.client({ role: 'host', name: 'h7' });
    const agent = client.agent({ vtep: '192.0.2.7' });
    await agent.inSync();
    const before = await everything();
    const many = Array.from({ length: 20_000 }, (_, index) => `${String(index)}\u0000`);
    agent.report({
      readyEndpointIds: [endpointId, ...IDS, ...many],
      removedEndpointIds: [endpointId, ...IDS, ...many],
    });
    for (const revision of [-1n, 2n ** 62n]) agent.ack(revision);
    const problems = many.map((object) => ({ object, message: LONG.slice(0, 100) }));
    agent.send({ $case: 'nack', value: { revision: -5n, problems } });
    agent.send({ $case: 'declaration', value: { epoch: 'another', networks: [], endpoints: [], more: false } });
    // Another's name is not to be had by an id that is taken.
    const thief = await harness.client({ role: 'host', name: 'h8' });
    const ended = (await thief.agent({ hostId: agent.hostId, vtep: '192.0.2.8' }).ended) as ServiceError;
    expect(decodeStatus(ended, { name: '', unavailable: 'CONTROLLER_UNAVAILABLE' }).reason).toBe('ID_TAKEN');
    const taken = (await thief.agent({ vtep: '192.0.2.7' }).ended) as ServiceError;
    expect(decodeStatus(taken, { name: '', unavailable: 'CONTROLLER_UNAVAILABLE' }).reason).toBe('VTEP_TAKEN');
    const got = await admin.call(getHost[1](), { host: 'h7', minRevision: 0n });
    expect(got.host?.problems.length ?? 0).toBeLessThan(1_000);
    expect(await everything()).toEqual(before);
    agent.cancel();
  });
});

describe('a restore', () => {
  it('of what is no backup, or not a whole one, is refused and changes nothing', async () => {
    const whole = await admin.backup();
    const before = await everything();
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] ?? 0) ^ 0x10;
      return copy;
    };
    const places = Array.from({ length: 40 }, (_, index) => Math.floor((index * (whole.length - 1)) / 39));
    const files = [
      ...[Buffer.alloc(0), Buffer.alloc(1), Buffer.from('garbage'), Buffer.alloc(100_000, 0xff), Buffer.alloc(100_000)],
      ...[Buffer.concat([whole, whole]), Buffer.concat([whole, Buffer.alloc(1)]), whole.subarray(1)],
      ...places.flatMap((place) => [whole.subarray(0, place), flipped(place)]),
    ];
    for (const [index, file] of files.entries()) {
      const error = await refusalOf(admin.restore(file));
      expectSound(error);
      expect({ index, reason: error.reason }).toEqual({ index, reason: 'BACKUP_INVALID' });
    }
    expect(await everything()).toEqual(before);
  }, 60_000);
});
