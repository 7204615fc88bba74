/** The rules for what an operator makes of a host: whether it takes endpoints, and that it goes for good. */
import type { HostId } from '../../core/ids.js';
import type { Host, HostAvailability } from '../../core/model.js';
import { putHost } from '../cache/objects.js';
import { guardKey, objectKey, sandboxesOn } from '../store/keys.js';
import type { Context, Decision } from './decision.js';
import { hostNotFound } from './endpoint.js';
import type { AbsenceCommand } from './host-absence.js';
import { Draft } from './transaction.js';

/** Lets a host have new endpoints, or not. Those it has stay. Refuses with HOST_NOT_FOUND, HOST_REMOVED. */
export function setAvailability(
  { view }: Context,
  { hostId, availability }: { readonly hostId: HostId; readonly availability: Exclude<HostAvailability, 'removed'> },
): Decision<bigint> {
  const host = view.hosts.get(hostId);
  if (host === undefined) return hostNotFound(hostId);
  if (host.availability === availability) return { kind: 'done', result: host.revision };
  if (host.availability === 'removed') {
    return { reason: 'HOST_REMOVED', message: `host ${host.name} is being removed from the cluster` };
  }
  return commit(new Draft().replace(putHost({ ...host, availability }), host.revision));
}

/**
 * Removes a host: at once where it has nothing and is not there; else, if forced, it is shut out first, and goes when
 * what it had was taken back (`dropHost`). Its id is taken never again. Refuses with HOST_NOT_FOUND, HOST_IN_USE.
 */
export function removeHost(
  { view, retried }: Context,
  { hostId, force }: { readonly hostId: HostId; readonly force: boolean },
): Decision<bigint> {
  const host = view.hosts.get(hostId);
  // Our own earlier try may have been all there was to do.
  if (host === undefined) return retried ? { kind: 'done', result: view.revision } : hostNotFound(hostId);
  if (host.availability === 'removed') return { kind: 'done', result: host.revision };
  const alive = view.alive.get(hostId);
  const endpoints = view.endpointsOn(hostId).size;
  if (!force && alive !== undefined) {
    return inUse(host, `is connected; stop its agent first, and try again when it is unreachable`);
  }
  if (!force && endpoints > 0) {
    return inUse(host, `has ${String(endpoints)} endpoints, which its agent alone can take out of its kernel`);
  }
  const draft = new Draft().put({ key: guardKey.removedHost(hostId), value: Buffer.from(hostId) });
  if (alive === undefined && endpoints === 0) return commit(draft.absent(objectKey.alive(hostId)).also(gone(host)));
  const incarnation = host.absence === 'fenced' ? host.incarnation : host.incarnation + 1;
  draft.replace(putHost({ ...host, availability: 'removed', absence: 'fenced', incarnation }), host.revision);
  // Its stream, wherever that is, is over with the key.
  return commit(draft.release(objectKey.alive(hostId)).release(objectKey.grace(hostId)));
}

/** Lets go of the record of a host that was removed and has nothing left. */
export function dropHost({ view }: Context, { hostId, fence }: AbsenceCommand): Decision<bigint> {
  const host = view.hosts.get(hostId);
  if (host?.availability !== 'removed' || view.endpointsOn(hostId).size > 0) {
    return { kind: 'done', result: view.revision };
  }
  return commit(new Draft().compare(fence).also(gone(host)));
}

/** The record of a host goes, with all that it held; it has no endpoint, and none comes to be beside this. */
function gone({ id, name, vtep, number, revision }: Host): (draft: Draft) => void {
  return (draft) => {
    draft.remove(objectKey.host(id), revision).emptyPrefix(sandboxesOn(id));
    for (const key of [guardKey.hostName(name), guardKey.vtep(vtep), guardKey.hostNumber(number)]) draft.release(key);
    draft.release(guardKey.hostQuota(id)).release(objectKey.grace(id));
  };
}

function inUse({ id, name }: Host, why: string): Decision<bigint> {
  return {
    reason: 'HOST_IN_USE',
    message: `host ${name} ${why}; weft host rm -f ${name} shuts it out, and removes it with all that it has`,
    metadata: { hostId: id },
  };
}

function commit(draft: Draft): Decision<bigint> {
  return { kind: 'commit', transaction: draft.build(), result: (revision) => revision, moves: [] };
}
