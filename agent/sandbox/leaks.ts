/** Endpoints that the cluster has for this host, and that the host has not: nobody would ever ask to remove them. */
import type { EndpointId, HostId } from '../../core/ids.js';
import { nameKey } from '../../core/name.js';
import type { Known } from '../state/settled.js';

export interface LeaksOptions {
  readonly hostId: HostId;
  /** Names of all sandboxes that are recorded here, whatever is to become of them. */
  readonly sandboxes: readonly string[];
  /** Of those whose records cannot be read. */
  readonly unreadable: readonly string[];
}

/**
 * Pure: ready ones of this host for sandboxes that it has no record of. Pending ones are wishes, which may come before
 * their sandbox; removing ones are on their way out. None while any record cannot be read.
 */
export function leaksOf(known: Known, { hostId, sandboxes, unreadable }: LeaksOptions): readonly EndpointId[] {
  if (unreadable.length > 0) return [];
  const recorded = new Set(sandboxes.map(nameKey));
  return [...known.view.values()].flatMap(({ endpoints }) =>
    [...endpoints.values()]
      .filter((each) => each.hostId === hostId && each.state === 'ready' && !recorded.has(nameKey(each.sandbox)))
      .map(({ id }) => id),
  );
}
