/**
 * The rules for a host that is not there: missed, given time, fenced, collected, readmitted. Each compares the very facts
 * it acts on, and, where a leader asks, that it still leads: whoever comes too late changes nothing.
 *
 *     none --no alive--> lost (grace begins) --grace over, still no alive--> fenced --all acked--> collected --> none
 *       ^------------alive-----------'
 */
import type { EndpointId, HostId } from '../../core/ids.js';
import type { Host } from '../../core/model.js';
import { putAlive, putGrace, putHost } from '../cache/objects.js';
import { objectKey } from '../store/keys.js';
import type { Compare } from '../store/store.js';
import type { Context, Decision } from './decision.js';
import { hostNotFound, removeEndpoint } from './endpoint.js';
import type { ComeAlive } from './host-liveness.js';
import { Draft } from './transaction.js';

/** Which host, and what must hold besides for whoever asks. */
export interface AbsenceCommand {
  readonly hostId: HostId;
  /** That it still leads. */
  readonly fence: Compare;
}

/** The host as it is after a rule: unchanged where there was nothing to do. */
type Outcome = Decision<Host | undefined>;

/** Finds that a host is missing: it has so many milliseconds to come back to all that it had. */
export function missHost({ view }: Context, { hostId, fence, graceMs }: AbsenceCommand & { graceMs: number }): Outcome {
  const host = view.hosts.get(hostId);
  if (host?.absence !== 'none' || view.alive.has(hostId)) return { kind: 'done', result: host };
  const draft = new Draft().compare(fence).absent(objectKey.alive(hostId)).put(putGrace(hostId, graceMs));
  return become(draft, host, { ...host, absence: 'lost' });
}

/** Shuts out a host whose time to come back is over: from this revision on nobody is to listen to it. */
export function fenceHost({ view }: Context, { hostId, fence }: AbsenceCommand): Outcome {
  const host = view.hosts.get(hostId);
  if (host?.absence !== 'lost' || view.alive.has(hostId) || view.graces.has(hostId))
    return { kind: 'done', result: host };
  const draft = new Draft().compare(fence).absent(objectKey.alive(hostId)).absent(objectKey.grace(hostId));
  return become(draft, host, { ...host, absence: 'fenced', incarnation: host.incarnation + 1 });
}

/**
 * Takes back an endpoint of a fenced host, with all that was held for it; its addresses rest. Only after every host
 * that is there has taken the fence into its kernel: before, somebody may still listen to the old holder.
 */
export function collectEndpoint(
  context: Context,
  { hostId, fence, endpointId }: AbsenceCommand & { readonly endpointId: EndpointId },
): Decision<bigint> {
  const { view } = context;
  const host = view.hosts.get(hostId);
  const endpoint = view.endpoints.get(endpointId);
  if (host?.absence !== 'fenced' || endpoint?.hostId !== hostId) return { kind: 'done', result: view.revision };
  const draft = removeEndpoint(context, endpoint).compare(fence).unchanged(objectKey.host(hostId), host.revision);
  return { kind: 'commit', transaction: draft.build(), result: (revision) => revision, moves: [] };
}

/**
 * Takes a fenced host back that has nothing left, and whose kernel is known to have nothing either. Refuses with
 * HOST_NOT_FOUND, SESSION_STALE (another stream was quicker, or there is something left to collect).
 */
export function readmitHost({ view }: Context, command: Omit<ComeAlive, 'again'>): Decision<bigint> {
  const { hostId, lease } = command;
  const host = view.hosts.get(hostId);
  if (host === undefined) return hostNotFound(hostId);
  const alive = view.alive.get(hostId);
  if (host.absence === 'none' && alive?.session === command.session) return { kind: 'done', result: alive.revision };
  if (host.absence !== 'fenced' || alive !== undefined || view.endpointsOn(hostId).size > 0) {
    return { reason: 'SESSION_STALE', message: `host ${host.name} cannot be readmitted by this stream any more` };
  }
  const draft = new Draft().create(putAlive(command, lease));
  draft.replace(putHost({ ...host, absence: 'none' }), host.revision);
  return { kind: 'commit', transaction: draft.build(), result: (revision) => revision, moves: [] };
}

function become(draft: Draft, before: Host, after: Host): Outcome {
  draft.replace(putHost(after), before.revision);
  return {
    kind: 'commit',
    transaction: draft.build(),
    result: (revision) => ({ ...after, revision }),
    moves: [],
  };
}
