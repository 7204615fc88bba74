/** For tests: what clients and hosts ask of controllers, as plain data that can be made at random and made smaller. */
import fc from 'fast-check';
import {
  boundsOf,
  familyOf,
  ipFromNumber,
  ipToNumber,
  makeCidr,
  networkAddressOf,
  parseCidr,
  prefixLengthOf,
  type Cidr,
} from '../../core/address.js';
import type { EndpointId, HostId, NetworkId } from '../../core/ids.js';
import { parseMac, type Mac } from '../../core/mac.js';
import type { Network } from '../../core/model.js';
import type { CreateEndpoint } from '../domain/endpoint.js';
import type { UpdateNetwork } from '../domain/network-update.js';
import type { CreateNetwork, SubnetWish } from '../domain/network.js';
import type { SubnetPool } from '../domain/subnet-pool.js';
import { FAULTS, type Fault } from './lossy-store.testing.js';
import type { StoredState } from './stored-state.testing.js';

/** Few of everything, so that what is asked for meets. */
const NETWORKS = 4;
const ENDPOINTS = 12;
const HOSTS = 2;
const SANDBOXES = 7;

const uuid = (kind: number, slot: number): string =>
  `00000000-0000-4000-8000-${String(kind).padStart(4, '0')}${String(slot).padStart(8, '0')}`;
export const networkIdOf = (slot: number): NetworkId => uuid(1, slot) as NetworkId;
export const endpointIdOf = (slot: number): EndpointId => uuid(2, slot) as EndpointId;
const hostId = (slot: number): HostId => uuid(3, slot) as HostId;

export const HOST_IDS = Array.from({ length: HOSTS }, (_, slot) => hostId(slot));

const SUBNETS = ['automatic', 'automatic6', 'own', 'shared', 'two', 'both', 'ranged', 'six'] as const;
const CHANGES = ['grow', 'shrink', 'add', 'drop', 'keep', 'label'] as const;

/** One thing that is asked for. Slots say which of the few; the same slot is the same id. */
export type Operation =
  | {
      readonly do: 'createNetwork';
      readonly slot: number;
      readonly name: number;
      readonly subnets: (typeof SUBNETS)[number];
    }
  | {
      readonly do: 'updateNetwork';
      readonly slot: number;
      readonly change: (typeof CHANGES)[number];
      readonly value: number;
    }
  | { readonly do: 'deleteNetwork'; readonly slot: number }
  | {
      readonly do: 'createEndpoint';
      readonly slot: number;
      readonly network: number;
      readonly host: number;
      readonly sandbox: number;
      /** Counts from the first of its network; undefined: an automatic one. */
      readonly address: number | undefined;
      readonly mac: number | undefined;
    }
  /** The same create as the last that was done with this id, word for word. */
  | { readonly do: 'repeatCreate'; readonly slot: number }
  | { readonly do: 'delete' | 'markReady' | 'release'; readonly slot: number };

/** What is asked for at the same time, each of one of two controllers, and what becomes of these controllers' commits. */
export interface Burst {
  readonly operations: readonly { readonly controller: 0 | 1; readonly operation: Operation }[];
  readonly faults: readonly [readonly Fault[], readonly Fault[]];
  /** Every quarantine ends first. */
  readonly wait: boolean;
}

const upTo = (count: number): fc.Arbitrary<number> => fc.nat({ max: count - 1 });
/** Undefined so many times as often. */
const seldom = (arbitrary: fc.Arbitrary<number>, weight: number): fc.Arbitrary<number | undefined> =>
  fc.oneof({ weight, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const endpoint = { slot: upTo(ENDPOINTS) };

const createNetworks = fc.record({
  do: fc.constant('createNetwork' as const),
  slot: upTo(NETWORKS),
  name: upTo(NETWORKS),
  subnets: fc.constantFrom(...SUBNETS),
});

const operations: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: createNetworks,
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('updateNetwork' as const),
      slot: upTo(NETWORKS),
      change: fc.constantFrom(...CHANGES),
      value: upTo(8),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('deleteNetwork' as const), slot: upTo(NETWORKS) }) },
  {
    weight: 15,
    arbitrary: fc.record({
      ...endpoint,
      do: fc.constant('createEndpoint' as const),
      network: upTo(NETWORKS),
      host: upTo(HOSTS),
      sandbox: upTo(SANDBOXES),
      address: seldom(upTo(8), 3),
      mac: seldom(upTo(2), 12),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ...endpoint, do: fc.constant('repeatCreate' as const) }) },
  { weight: 5, arbitrary: fc.record({ ...endpoint, do: fc.constant('delete' as const) }) },
  { weight: 2, arbitrary: fc.record({ ...endpoint, do: fc.constant('markReady' as const) }) },
  { weight: 6, arbitrary: fc.record({ ...endpoint, do: fc.constant('release' as const) }) },
);

const faults = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Fault[]>([]) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...FAULTS), { maxLength: 2 }) },
);

const controllers = fc.constantFrom(0 as const, 1 as const);

/** Bursts one after the other; the first makes networks, without which little can happen. */
export function histories(maxLength: number): fc.Arbitrary<readonly Burst[]> {
  const making = fc.array(fc.record({ controller: controllers, operation: createNetworks }), {
    minLength: 4,
    maxLength: 8,
  });
  return fc
    .tuple(making, fc.array(bursts, { maxLength, size: 'max' }))
    .map(([operations, rest]) => [{ operations, faults: [[], []], wait: false }, ...rest]);
}

const bursts: fc.Arbitrary<Burst> = fc.record({
  operations: fc.array(fc.record({ controller: controllers, operation: operations }), {
    minLength: 1,
    maxLength: 8,
  }),
  faults: fc.tuple(faults, faults),
  wait: fc.oneof({ weight: 11, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

/** Small, so that they run out: four IPv4 subnets of 13 addresses each. */
export const POOLS: readonly SubnetPool[] = [
  { range: cidr('10.128.0.0/26'), size: 28 },
  { range: cidr('fd00:1::/48'), size: 64 },
];

export function toCreateNetwork({ slot, name, subnets }: Operation & { do: 'createNetwork' }): CreateNetwork {
  const s = String(slot);
  const wishes: Record<(typeof SUBNETS)[number], readonly SubnetWish[]> = {
    automatic: [],
    automatic6: [],
    own: [wish(`10.0.${s}.0/29`)],
    shared: [wish('10.0.9.0/29')],
    two: [wish(`10.0.${s}.0/29`), wish(`10.0.${s}.16/29`)],
    both: [wish(`10.0.${s}.0/29`), wish(`fd01:${s}::/125`)],
    ranged: [{ ...wish(`10.0.${s}.0/28`), ipRange: cidr(`10.0.${s}.4/30`) }],
    six: [wish(`fd01:${s}::/125`)],
  };
  return {
    ...{ id: networkIdOf(slot), name: `network-${String(name)}`, driver: 'overlay', subnets: wishes[subnets] },
    ...{ ipv6: subnets === 'automatic6', internal: false, mtu: undefined, labels: {}, options: {} },
  };
}

/** From the network as it is before; of one that is not there, a change of nothing. */
export function toUpdateNetwork(
  { slot, change, value }: Operation & { do: 'updateNetwork' },
  state: StoredState,
): UpdateNetwork {
  const id = networkIdOf(slot);
  const before = state.networks.get(id);
  const labels = change === 'label' ? { value: String(value) } : undefined;
  const subnets =
    change === 'label' || before === undefined ? undefined : changedSubnets(before, { change, value, slot });
  return { id, labels, options: undefined, subnets, ifRevision: value === 0 ? before?.revision : undefined };
}

function changedSubnets(
  { subnets }: Network,
  { change, value, slot }: { readonly change: (typeof CHANGES)[number]; readonly value: number; readonly slot: number },
): readonly SubnetWish[] {
  const [first, ...rest] = subnets.map(({ cidr, ipRange, auxAddresses }): SubnetWish => {
    return { cidr, gateway: undefined, ipRange, auxAddresses };
  });
  if (first === undefined) return [];
  const resized = (by: number): SubnetWish => ({ ...first, cidr: resize(first.cidr, by), ipRange: undefined });
  switch (change) {
    case 'grow':
      return [resized(-1), ...rest];
    case 'shrink':
      return [resized(1), ...rest];
    case 'add':
      return [first, ...rest, wish(`10.${String(50 + value)}.${String(slot)}.0/29`)];
    case 'drop':
      return rest.length > 0 ? [first, ...rest.slice(0, -1)] : [first];
    case 'keep': {
      const kept = ipFromNumber(familyOf(first.cidr), boundsOf(first.cidr).first + 2n + BigInt(value));
      return [{ ...first, auxAddresses: { kept } }, ...rest];
    }
    case 'label':
      return [first, ...rest];
  }
}

/** Bounds within which a subnet of either family may lie, and this model's stay small. */
const LENGTHS = { 4: { min: 27, max: 30 }, 6: { min: 123, max: 126 } } as const;

function resize(from: Cidr, by: number): Cidr {
  const family = familyOf(from);
  const { min, max } = LENGTHS[family];
  const length = prefixLengthOf(from) + by;
  if (length < min || length > max) return from;
  const size = 1n << BigInt((family === 4 ? 32 : 128) - length);
  const first = ipToNumber(networkAddressOf(from));
  return makeCidr(family, first - (first % size), length);
}

export function toCreateEndpoint(
  { slot, network, host, sandbox, address, mac }: Operation & { do: 'createEndpoint' },
  state: StoredState,
): CreateEndpoint {
  const [subnet] = state.networks.get(networkIdOf(network))?.subnets ?? [];
  const addresses =
    address === undefined || subnet === undefined
      ? []
      : [ipFromNumber(familyOf(subnet.cidr), boundsOf(subnet.cidr).first + 1n + BigInt(address))];
  return {
    ...{ id: endpointIdOf(slot), networkId: networkIdOf(network), hostId: hostId(host) },
    ...{ sandbox: `sandbox-${String(sandbox)}`, aliases: [], addresses, labels: {} },
    mac: mac === undefined ? undefined : macOf(mac),
  };
}

function macOf(number: number): Mac {
  const mac = parseMac(`02:00:00:00:00:0${String(number)}`);
  if (mac === undefined) throw new RangeError(`no MAC ${String(number)}`);
  return mac;
}

function wish(text: string): SubnetWish {
  return { cidr: cidr(text), gateway: undefined, ipRange: undefined, auxAddresses: {} };
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new RangeError(`no subnet: ${text}`);
  return parsed;
}
