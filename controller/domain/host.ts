/** The rules for a host that says hello: who it is, where it is reached, and which number it has. */
import type { Cidr, IpAddress } from '../../core/address.js';
import type { Rejection } from '../../core/errors.js';
import type { HostId } from '../../core/ids.js';
import { PRESENT, type Host } from '../../core/model.js';
import { nameKey } from '../../core/name.js';
import { putHost } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { guardKey } from '../store/keys.js';
import type { Context, Decision } from './decision.js';
import { spaceGuard } from './network.js';
import { Draft } from './transaction.js';
import { HOST_NUMBER_RANGE, chooseNumber } from './vni.js';

export interface RegisterHost {
  readonly id: HostId;
  /** From its certificate. */
  readonly name: string;
  readonly vtep: IpAddress;
  readonly version: string;
  /** Where its own interfaces and routes lead, in order; undefined: as they are known. */
  readonly prefixes?: readonly Cidr[] | undefined;
  /** The epoch, where the host has nothing to declare in it or has declared it; undefined: as it is known. */
  readonly declaredEpoch?: string | undefined;
}

/**
 * Records a host, or what is new about it, in one transaction with everything it holds. Its number never changes.
 * Refuses with HOST_REMOVED, HOST_NAME_TAKEN, ID_TAKEN, VTEP_TAKEN, HOST_NUMBERS_EXHAUSTED.
 */
export function registerHost(context: Context, command: RegisterHost): Decision<Host> {
  const { view } = context;
  const known = view.hosts.get(command.id);
  // Of a host that is there the guard is not: that it was compared when the host came is remembered as if it were.
  const isRemoved =
    known === undefined
      ? context.guardRevision(guardKey.removedHost(command.id)) > 0n
      : known.availability === 'removed';
  if (isRemoved) return hostRemoved(command);
  const refusal = refuse(view, known, command);
  if (refusal !== undefined) return refusal;
  return known === undefined ? admit(context, command) : update(known, command);
}

function refuse(view: View, known: Host | undefined, { id, name, vtep }: RegisterHost): Rejection | undefined {
  const namesake = view.hostNamed(name);
  if (namesake !== undefined && namesake.id !== id) {
    return {
      reason: 'HOST_NAME_TAKEN',
      message: `host ${name} is known with another id, ${namesake.id}; two machines cannot share a name, and a machine keeps its state directory`,
      metadata: { hostId: namesake.id },
    };
  }
  if (known !== undefined && nameKey(known.name) !== nameKey(name)) {
    return {
      reason: 'ID_TAKEN',
      message: `host id ${id} is that of host ${known.name}; a copied machine needs a state directory of its own`,
      metadata: { hostId: id },
    };
  }
  const neighbour = view.holderOfVtep(vtep);
  if (neighbour !== undefined && neighbour !== id) {
    return {
      reason: 'VTEP_TAKEN',
      message: `tunnel address ${vtep} is that of host ${view.hosts.get(neighbour)?.name ?? neighbour}; name another with --vtep`,
      metadata: { hostId: neighbour },
    };
  }
  return undefined;
}

function admit(context: Context, command: RegisterHost): Decision<Host> {
  const { id, name, vtep, version, prefixes = [], declaredEpoch = '' } = command;
  const { view } = context;
  const at = context.cursor('host-number');
  const number = chooseNumber({
    range: HOST_NUMBER_RANGE,
    isHeld: (each) => view.holderOfNumber(each) !== undefined,
    heldCount: view.hosts.size,
    after: at === undefined ? newestNumber(view) : Number(at),
  });
  if (number === undefined) {
    return {
      reason: 'HOST_NUMBERS_EXHAUSTED',
      message: `all ${String(HOST_NUMBER_RANGE.last)} host numbers are in use`,
    };
  }
  const host: Host = { id, name, vtep, number, version, prefixes, declaredEpoch, ...PRESENT, revision: 0n };
  const transaction = new Draft()
    .create(putHost(host))
    .unchanged(guardKey.removedHost(id), 0n)
    .claim(guardKey.hostName(name), id)
    .claim(guardKey.vtep(vtep), id)
    .claim(guardKey.hostNumber(number), id)
    // So that a subnet chosen beside it is chosen again, knowing where this host's routes lead.
    .put({ key: spaceGuard(), value: Buffer.from(id) })
    .build();
  return {
    kind: 'commit',
    transaction,
    result: (revision) => ({ ...host, revision }),
    moves: [{ pool: 'host-number', at: BigInt(number) }],
  };
}

function update(known: Host, command: RegisterHost): Decision<Host> {
  const { id, name, vtep, version, prefixes = known.prefixes, declaredEpoch = known.declaredEpoch } = command;
  const host: Host = { ...known, name, vtep, version, prefixes, declaredEpoch };
  const samePlaces = known.vtep === vtep && known.prefixes.join() === prefixes.join();
  if (samePlaces && known.version === version && known.name === name && known.declaredEpoch === declaredEpoch) {
    return { kind: 'done', result: known };
  }
  const draft = new Draft().replace(putHost(host), known.revision);
  if (known.vtep !== vtep) draft.release(guardKey.vtep(known.vtep)).claim(guardKey.vtep(vtep), id);
  // So that a subnet chosen beside it is chosen again.
  if (!samePlaces) draft.put({ key: spaceGuard(), value: Buffer.from(id) });
  return { kind: 'commit', transaction: draft.build(), result: (revision) => ({ ...host, revision }), moves: [] };
}

function hostRemoved({ id, name }: Pick<RegisterHost, 'id' | 'name'>): Rejection {
  return {
    reason: 'HOST_REMOVED',
    message: `host ${name} was removed from the cluster; to join again, start its agent with an empty state directory`,
    metadata: { hostId: id },
  };
}

/** What a host says of itself after it was registered; the rest stays. Refuses with HOST_NOT_FOUND. */
export function updateHost(
  { view }: Context,
  { id, ...change }: Pick<RegisterHost, 'id' | 'prefixes' | 'declaredEpoch'>,
): Decision<Host> {
  const known = view.hosts.get(id);
  if (known === undefined) return { reason: 'HOST_NOT_FOUND', message: `there is no host ${id}` };
  return update(known, { id, name: known.name, vtep: known.vtep, version: known.version, ...change });
}

/** The highest number in use: where a controller that has just started goes on. */
function newestNumber(view: View): number | undefined {
  let highest: number | undefined;
  for (const { number } of view.hosts.values()) if (highest === undefined || number > highest) highest = number;
  return highest;
}
