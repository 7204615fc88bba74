/** How far hosts have come, and who can tell: pure, from what is known of who is alive where and from the streams here. */
import type { ControllerId, HostId } from '../../core/ids.js';
import type { Host, Problem } from '../../core/model.js';
import type { Alive } from '../cache/objects.js';
import type { View } from '../cache/view.js';

/** What of a stream tells how far its host has come. */
export interface Followed {
  readonly id: string;
  readonly ackedRevision: bigint;
  /** The first revision that concerns the host and is not in its kernel; undefined: it has everything. */
  readonly openRevision: bigint | undefined;
  readonly problems: readonly Problem[];
}

/** One living host, as the controller tells it that holds its stream. */
export interface HostStanding {
  readonly hostId: HostId;
  /** Of its stream; empty: it has none at the moment, and is expected back. */
  readonly session: string;
  readonly ackedRevision: bigint;
  /** Everything that concerned it up to here is in its kernel. */
  readonly convergedRevision: bigint;
  readonly problems: readonly Problem[];
}

/** Who can tell of a host. `gone`: nobody hears from it, or nobody listens to it any more. */
export type Place =
  | { readonly kind: 'gone' }
  | { readonly kind: 'here'; readonly stream: Followed | undefined }
  | { readonly kind: 'elsewhere'; readonly alive: Alive };

const GONE: Place = { kind: 'gone' };

export interface Surroundings {
  readonly view: View;
  readonly self: ControllerId;
  readonly streamOf: (host: HostId) => Followed | undefined;
}

/**
 * Where a host is followed. A stream counts for a host when the store says so: of two streams of a host the one that was
 * opened last is the one that tells what its kernel holds. One that the store does not have (any more) counts here,
 * where it is, until its host is said to be elsewhere.
 */
export function placeOf({ view, self, streamOf }: Surroundings, host: Host): Place {
  // Its peers have been told to drop it, and it is told nothing before it is readmitted: nobody may wait for that.
  if (host.absence === 'fenced') return GONE;
  const alive = view.alive.get(host.id);
  const stream = streamOf(host.id);
  if (alive === undefined) return stream === undefined ? GONE : { kind: 'here', stream };
  if (alive.controllerId !== self) return { kind: 'elsewhere', alive };
  return { kind: 'here', stream: stream?.id === alive.session ? stream : undefined };
}

/** How far a host has come whose stream is here. `revision`: of the view, up to which streams were told. */
export function standingHere(hostId: HostId, stream: Followed | undefined, revision: bigint): HostStanding {
  if (stream === undefined) {
    return { hostId, session: '', ackedRevision: 0n, convergedRevision: 0n, problems: [] };
  }
  const { id, ackedRevision, problems } = stream;
  return { hostId, session: id, ackedRevision, convergedRevision: convergedRevisionOf(stream, revision), problems };
}

/** Everything that concerned the stream's host up to here is in its kernel; 0: it has no stream. */
export function convergedRevisionOf(stream: Followed | undefined, revision: bigint): bigint {
  if (stream === undefined) return 0n;
  return stream.openRevision === undefined ? revision : stream.openRevision - 1n;
}

/** Every host that is followed here. */
export function allHere(surroundings: Surroundings): readonly HostStanding[] {
  const { view } = surroundings;
  const found: HostStanding[] = [];
  for (const host of view.hosts.values()) {
    const place = placeOf(surroundings, host);
    if (place.kind === 'here') found.push(standingHere(host.id, place.stream, view.revision));
  }
  return found;
}
