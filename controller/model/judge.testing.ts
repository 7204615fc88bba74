/**
 * For tests: whether what was answered agrees with the store before and after. Nothing comes or goes unasked, what was
 * done is there, and a refusal has its reason: addresses are exhausted only when there is truly none.
 *
 * Things that are asked for together have no order, so whatever was there before, is there after, or was answered
 * meanwhile may have been in the way.
 */
import { boundsOf, familyOf, ipFromNumber, overlaps, type Cidr, type IpAddress } from '../../core/address.js';
import type { Endpoint, Network, Subnet } from '../../core/model.js';
import { nameKey } from '../../core/name.js';
import { capacityOf, objectionTo, rangeOf } from '../domain/address-pool.js';
import type { CreateEndpoint } from '../domain/endpoint.js';
import type { CreateNetwork } from '../domain/network.js';
import type { Settings } from '../domain/settings.js';
import type { SubnetPool } from '../domain/subnet-pool.js';
import { restingName } from './stored-state.testing.js';
import type { Answer, Step } from './step.testing.js';

export interface Rules {
  readonly settings: Settings;
  readonly pools: readonly SubnetPool[];
}

export function judge(step: Step, rules: Rules): string[] {
  return [
    ...appeared(step),
    ...vanished(step),
    ...automaticSubnets(step),
    ...quotas(step, rules),
    ...step.answers.flatMap((answer) =>
      (answer.refusal === undefined ? done(step, answer) : refused(step, answer, rules)).map(
        (fault) => `${answer.request.do} ${answer.refusal ?? 'done'} (${answer.message}): ${fault}`,
      ),
    ),
  ];
}

/** Whether one of the requests is to create, update, ... this. */
function asked({ answers }: Step, what: Answer['request']['do'], id: string): boolean {
  return answers.some(({ request }) => {
    if (request.do !== what) return false;
    return ('command' in request ? request.command.id : request.id) === id;
  });
}

/** What is new, or other than it was, was asked for. */
function appeared(step: Step): string[] {
  const { before, after } = step;
  const faults: string[] = [];
  for (const [id, endpoint] of after.endpoints) {
    const was = before.endpoints.get(id);
    const renewed = asked(step, 'createEndpoint', id) && (was === undefined || asked(step, 'release', id));
    if (renewed) continue;
    if (was === undefined) faults.push(`endpoint ${id} came by itself`);
    else if (was.addresses.join() !== endpoint.addresses.join()) faults.push(`endpoint ${id} changed its addresses`);
    else if (was.mac !== endpoint.mac) faults.push(`endpoint ${id} changed its MAC`);
    else if (ORDER.indexOf(was.state) > ORDER.indexOf(endpoint.state))
      faults.push(`endpoint ${id} went back in its life`);
  }
  for (const [id, network] of after.networks) {
    const was = before.networks.get(id);
    const renewed = asked(step, 'createNetwork', id) && (was === undefined || asked(step, 'deleteNetwork', id));
    if (renewed) continue;
    if (was === undefined) faults.push(`network ${id} came by itself`);
    else if (was.vni !== network.vni || was.name !== network.name) faults.push(`network ${id} became another`);
    else if (was.revision !== network.revision && !asked(step, 'updateNetwork', id)) {
      faults.push(`network ${id} changed by itself`);
    }
  }
  return faults;
}

const ORDER: readonly Endpoint['state'][] = ['pending', 'ready', 'removing'];

/** What is gone, was to go. */
function vanished(step: Step): string[] {
  const { before, after } = step;
  const faults: string[] = [];
  for (const [id, { state }] of before.endpoints) {
    if (after.endpoints.has(id)) continue;
    if (!asked(step, 'release', id)) faults.push(`endpoint ${id} went by itself`);
    else if (state !== 'removing' && !asked(step, 'delete', id))
      faults.push(`endpoint ${id} went without being removed`);
  }
  for (const id of before.networks.keys()) {
    if (!after.networks.has(id) && !asked(step, 'deleteNetwork', id)) faults.push(`network ${id} went by itself`);
  }
  return faults;
}

/** A subnet that was chosen overlaps none that was there, and no other that was chosen. */
function automaticSubnets(step: Step): string[] {
  const { before, after, answers } = step;
  const chosen: { readonly id: string; readonly cidr: Cidr }[] = [];
  for (const network of after.networks.values()) {
    if (before.networks.has(network.id)) continue;
    const commands = answers.flatMap(({ request }) =>
      request.do === 'createNetwork' && request.command.id === network.id ? [request.command] : [],
    );
    const named = commands.flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr));
    if (asked(step, 'updateNetwork', network.id)) continue;
    for (const { cidr } of network.subnets) if (!named.includes(cidr)) chosen.push({ id: network.id, cidr });
  }
  const stayed = [...before.networks.values()].filter(
    ({ id, revision }) => after.networks.get(id)?.revision === revision,
  );
  const others = [...stayed.flatMap(({ id, subnets }) => subnets.map(({ cidr }) => ({ id, cidr }))), ...chosen];
  return chosen.flatMap(({ id, cidr }) =>
    others
      .filter((other) => other.id !== id && overlaps(other.cidr, cidr))
      .map((other) => `${cidr} was chosen for ${id}, and overlaps ${other.cidr} of ${other.id}`),
  );
}

function quotas({ after }: Step, { settings }: Rules): string[] {
  const endpoints = [...after.endpoints.values()];
  const over = (ids: Iterable<string>, of: (endpoint: Endpoint) => string, quota: number): string[] =>
    [...ids]
      .map((id) => ({ id, count: endpoints.filter((endpoint) => of(endpoint) === id).length }))
      .filter(({ count }) => count > quota)
      .map(({ id, count }) => `${id} has ${String(count)} endpoints, and at most ${String(quota)} are allowed`);
  return [
    ...over(after.networks.keys(), ({ networkId }) => networkId, settings.endpointsPerNetwork),
    ...over(after.hosts.keys(), ({ hostId }) => hostId, settings.endpointsPerHost),
  ];
}

/** Whether what was done is there, and is what was asked for. */
function done(step: Step, { request, network, endpoint }: Answer): string[] {
  const { before, after } = step;
  switch (request.do) {
    case 'createEndpoint': {
      const { command } = request;
      if (endpoint === undefined) return ['there is no endpoint in the answer'];
      const faults = command.addresses
        .filter((address) => !endpoint.addresses.includes(address))
        .map((address) => `${address} was asked for`);
      if (command.mac !== undefined && endpoint.mac !== command.mac) faults.push(`${command.mac} was asked for`);
      if (asked(step, 'release', command.id)) return faults;
      const stored = after.endpoints.get(command.id);
      if (stored === undefined) return [...faults, 'it is not there'];
      if (!sameHolding(stored, endpoint)) faults.push('another is there than was answered');
      const was = before.endpoints.get(command.id);
      if (was !== undefined && !sameHolding(was, endpoint)) faults.push('another was there already');
      return faults;
    }
    case 'createNetwork':
      if (network === undefined) return ['there is no network in the answer'];
      if (asked(step, 'deleteNetwork', request.command.id)) return [];
      return after.networks.get(request.command.id)?.vni === network.vni ? [] : ['it is not there'];
    case 'deleteNetwork':
      return after.networks.has(request.id) && !asked(step, 'createNetwork', request.id) ? ['it is still there'] : [];
    case 'delete': {
      const state = after.endpoints.get(request.id)?.state ?? 'removing';
      return state === 'removing' || asked(step, 'createEndpoint', request.id) ? [] : [`it is ${state}`];
    }
    case 'release': {
      const gone = before.endpoints.get(request.id)?.state !== 'removing' || !after.endpoints.has(request.id);
      return gone || asked(step, 'createEndpoint', request.id) ? [] : ['it is still there'];
    }
    default:
      return [];
  }
}

function sameHolding(a: Endpoint, b: Endpoint): boolean {
  return a.networkId === b.networkId && a.mac === b.mac && a.addresses.join() === b.addresses.join();
}

/** Whether a refusal was right. */
function refused(step: Step, answer: Answer, rules: Rules): string[] {
  const { request, refusal } = answer;
  if (refusal === 'STORE_UNAVAILABLE') return step.muted ? [] : ['the store did answer'];
  // What an answer that was lost did meanwhile and undid again is not known.
  if (step.muted) return refusal === 'CONTENTION' ? ['nobody was in the way'] : [];
  switch (request.do) {
    case 'createEndpoint':
      return justified(refusalOfEndpoint(step, request.command, { refusal, rules }));
    case 'createNetwork':
      return justified(refusalOfNetwork(step, request.command, { refusal, rules }));
    case 'updateNetwork':
      return justified(UPDATE_REFUSALS.has(refusal ?? ''));
    case 'deleteNetwork':
      if (refusal === 'NETWORK_NOT_FOUND') return justified(missing(step, 'networks', request.id));
      return justified(
        refusal === 'NETWORK_IN_USE' && endpointsAround(step).some((each) => each.networkId === request.id),
      );
    default:
      return justified(refusal === 'ENDPOINT_NOT_FOUND' && missing(step, 'endpoints', request.id));
  }
}

/** The rule for updates has tables of its own; here it must not break what others rely on. */
const UPDATE_REFUSALS: ReadonlySet<string> = new Set([
  ...['NETWORK_NOT_FOUND', 'REVISION_CHANGED', 'ARGUMENT_INVALID', 'FIELD_IMMUTABLE', 'NETWORK_IN_USE'],
  ...['ADDRESSES_HELD', 'SUBNETS_OVERLAP'],
]);

function justified(reason: boolean): string[] {
  return reason ? [] : ['there is no reason for that'];
}

/** Whether it was not there at some time. */
function missing(step: Step, kind: 'networks' | 'endpoints', id: string): boolean {
  const [before, after]: readonly ReadonlyMap<string, unknown>[] = [step.before[kind], step.after[kind]];
  const ends = kind === 'networks' ? 'deleteNetwork' : 'release';
  return before?.has(id) !== true || after?.has(id) !== true || asked(step, ends, id);
}

/** Every endpoint, as it is known to have been at some time. */
function endpointsAround({ before, after, answers }: Step): readonly Endpoint[] {
  const answered = answers.flatMap(({ endpoint }) => endpoint ?? []);
  return [...before.endpoints.values(), ...after.endpoints.values(), ...answered];
}

function networksAround({ before, after, answers }: Step): readonly Network[] {
  const answered = answers.flatMap(({ network }) => network ?? []);
  return [...before.networks.values(), ...after.networks.values(), ...answered];
}

function refusalOfEndpoint(
  step: Step,
  command: CreateEndpoint,
  { refusal, rules }: { readonly refusal: Answer['refusal']; readonly rules: Rules },
): boolean {
  const { id, networkId, hostId, sandbox, addresses, mac } = command;
  const others = endpointsAround(step);
  const inNetwork = others.filter((each) => each.networkId === networkId);
  const versions = networksAround(step).filter((each) => each.id === networkId);
  switch (refusal) {
    case 'NETWORK_NOT_FOUND':
      return missing(step, 'networks', networkId);
    case 'ID_TAKEN':
      return others.some((each) => each.id === id);
    case 'ALREADY_CONNECTED':
      return inNetwork.some((each) => each.hostId === hostId && each.sandbox === sandbox);
    case 'SUBNETS_OVERLAP':
      return others.some((each) => each.hostId === hostId && each.sandbox === sandbox && each.networkId !== networkId);
    case 'MAC_TAKEN':
      return inNetwork.some((each) => each.mac === mac);
    case 'ADDRESS_TAKEN':
      return inNetwork.some((each) => each.addresses.some((address) => addresses.includes(address)));
    case 'ARGUMENT_INVALID':
      return addresses.some((address) =>
        versions.some(({ subnets }) => subnets.every((subnet) => objectionTo(subnet, address) !== undefined)),
      );
    case 'ADDRESSES_EXHAUSTED':
      return versions.some((version) => isFull(step, version, inNetwork));
    case 'QUOTA_REACHED':
      return isAtQuota(step, command, rules.settings);
    default:
      return false;
  }
}

/** More than a test can fill. */
const ENDLESS = 1_000n;

/** Whether every address of one family may have been held, or have rested. */
function isFull({ before, after }: Step, { id, subnets }: Network, holders: readonly Endpoint[]): boolean {
  const held = new Set(holders.flatMap(({ addresses }) => addresses));
  const isTaken = (address: IpAddress): boolean => {
    const name = restingName(id, address);
    return held.has(address) || before.resting.has(name) || after.resting.has(name);
  };
  return ([4, 6] as const).some((family) => {
    const own = subnets.filter(({ cidr }) => familyOf(cidr) === family);
    return own.length > 0 && own.every((subnet) => capacityOf(subnet) < ENDLESS && choosable(subnet).every(isTaken));
  });
}

/** Every address that an endpoint may be given of itself. */
function choosable(subnet: Subnet): IpAddress[] {
  const { first, last } = rangeOf(subnet);
  return Array.from({ length: Number(last - first + 1n) }, (_, index) =>
    ipFromNumber(familyOf(subnet.cidr), first + BigInt(index)),
  ).filter((address) => objectionTo(subnet, address) === undefined);
}

/** Creates that are under way count: each may be the one that still fits. */
function isAtQuota(step: Step, { networkId, hostId }: CreateEndpoint, settings: Settings): boolean {
  const wanted = step.answers.flatMap(({ request }) => (request.do === 'createEndpoint' ? [request.command] : []));
  const all = [...endpointsAround(step), ...wanted];
  const count = (is: (each: (typeof all)[number]) => boolean): number =>
    new Set(all.filter(is).map(({ id }) => id)).size;
  return (
    count((each) => each.networkId === networkId) > settings.endpointsPerNetwork ||
    count((each) => each.hostId === hostId) > settings.endpointsPerHost
  );
}

function refusalOfNetwork(
  step: Step,
  { id, name }: CreateNetwork,
  { refusal, rules }: { readonly refusal: Answer['refusal']; readonly rules: Rules },
): boolean {
  const others = networksAround(step);
  switch (refusal) {
    case 'ID_TAKEN':
      return others.some((each) => each.id === id);
    case 'NETWORK_NAME_TAKEN':
      return others.some((each) => nameKey(each.name) === nameKey(name));
    case 'SUBNETS_EXHAUSTED': {
      const taken = others.flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr));
      return rules.pools.some(
        (pool) =>
          familyOf(pool.range) === 4 && subnetsOf(pool).every((cidr) => taken.some((each) => overlaps(each, cidr))),
      );
    }
    default:
      return false;
  }
}

function subnetsOf({ range, size }: SubnetPool): Cidr[] {
  const { first, last } = boundsOf(range);
  const step = 1n << BigInt(32 - size);
  return Array.from(
    { length: Number((last - first + 1n) / step) },
    (_, index) => `${ipFromNumber(4, first + BigInt(index) * step)}/${String(size)}` as Cidr,
  );
}
