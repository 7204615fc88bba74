/**
 * What other controllers said of their hosts. It counts for as long as the host is alive by the same stream: a host that
 * has moved on, or was started again, is asked about anew, because what its kernel holds is what its new stream acks.
 */
import type { ControllerId, HostId } from '../../core/ids.js';
import type { Alive } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import type { HostStanding } from './standing.js';

/** A peer's answer: who is behind, as of its view's `revision`. Hosts of its that are left out have everything. */
export interface PeerAnswer {
  readonly revision: bigint;
  readonly sessions: readonly HostStanding[];
}

interface Heard {
  /** The revision of the key by which the host was alive. */
  readonly aliveRevision: bigint;
  readonly convergedRevision: bigint;
  /** Undefined: it had everything that was asked about, and no problems. */
  readonly told: HostStanding | undefined;
}

export class HeardOf {
  readonly #hosts = new Map<HostId, Heard>();

  /**
   * Takes in what `controller` answered to the question who is behind `asked`. `view` is at the answer's revision or
   * later: a host that is alive there by a key that is not younger than the answer was so when it was given, and one
   * that it does not name is not behind.
   */
  take(
    controller: ControllerId,
    answer: PeerAnswer,
    { asked, view }: { readonly asked: bigint; readonly view: Pick<View, 'alive'> },
  ) {
    const named = new Map(answer.sessions.map((each) => [each.hostId, each]));
    for (const alive of view.alive.values()) {
      if (alive.controllerId !== controller || alive.revision > answer.revision) continue;
      const told = named.get(alive.hostId);
      const before = this.#of(alive);
      const now = told?.convergedRevision ?? asked;
      const convergedRevision = before !== undefined && before.convergedRevision > now ? before.convergedRevision : now;
      this.#hosts.set(alive.hostId, { aliveRevision: alive.revision, convergedRevision, told });
    }
  }

  /** Everything that concerned the host up to here is known to be in its kernel; 0: nothing is known. */
  convergedRevision(alive: Alive): bigint {
    return this.#of(alive)?.convergedRevision ?? 0n;
  }

  /** What was said of it last, where it was behind or had problems; undefined: nothing, or nothing yet. */
  told(alive: Alive): HostStanding | undefined {
    return this.#of(alive)?.told;
  }

  /** Whether its controller has said anything of it. */
  has(alive: Alive): boolean {
    return this.#of(alive) !== undefined;
  }

  forget(host: HostId): void {
    this.#hosts.delete(host);
  }

  #of(alive: Alive): Heard | undefined {
    const heard = this.#hosts.get(alive.hostId);
    return heard?.aliveRevision === alive.revision ? heard : undefined;
  }
}
