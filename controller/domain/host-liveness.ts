/** The rules for whether a host is there: its agent's stream, as every controller sees it. */
import type { ControllerId, HostId } from '../../core/ids.js';
import { putAlive, putHost } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import type { Lease } from '../store/store.js';
import type { Context, Decision } from './decision.js';
import { hostNotFound } from './endpoint.js';
import { Draft } from './transaction.js';

export interface ComeAlive {
  readonly hostId: HostId;
  /** Of the agent's stream. */
  readonly session: string;
  /** Where that is. */
  readonly controllerId: ControllerId;
  readonly lease: Lease;
  /** It was said of this session before, and has gone: not where another stream has taken its place. */
  readonly again: boolean;
}

/**
 * Says that a host is heard from, in the place of whatever stream it had before. One that was lost and has not been
 * fenced is back with all that it had; one that is fenced is not yet. Refuses with HOST_NOT_FOUND, SESSION_STALE.
 */
export function comeAlive({ view }: Context, command: ComeAlive): Decision<'alive' | 'fenced'> {
  const { hostId, session, lease, again } = command;
  const host = view.hosts.get(hostId);
  if (host === undefined) return hostNotFound(hostId);
  const alive = view.alive.get(hostId);
  if (alive?.session === session && alive.leaseId === lease.id) return { kind: 'done', result: 'alive' };
  // What it has it was told before the fence: it begins anew.
  const isOver = again && (host.absence === 'fenced' || (alive !== undefined && alive.session !== session));
  if (isOver) return { reason: 'SESSION_STALE', message: `host ${host.name} has to open a new stream` };
  if (host.absence === 'fenced') return { kind: 'done', result: 'fenced' };
  const draft = new Draft().replaceSeen(putAlive(command, lease), alive?.revision);
  // Beside this, it may be found to be lost.
  if (host.absence === 'lost') {
    draft.replace(putHost({ ...host, absence: 'none' }), host.revision).release(objectKey.grace(hostId));
  } else {
    draft.unchanged(objectKey.host(hostId), host.revision);
  }
  return { kind: 'commit', transaction: draft.build(), result: () => 'alive', moves: [] };
}
