/** The last revisions' events, in bounded memory and shared by all who watch. */
import { isWanted, type EventFilter, type ToldEvent } from './event.js';
import type { Told } from './messages.js';

export interface RingLimits {
  /** Events that are kept at most, and their bytes. */
  readonly events: number;
  readonly bytes: number;
}

interface Kept {
  readonly revision: bigint;
  readonly events: readonly ToldEvent[];
  readonly bytes: number;
}

export class EventRing {
  readonly #limits: RingLimits;
  #kept: Kept[] = [];
  /** Those before it in `#kept` are gone. */
  #first = 0;
  #events = 0;
  #bytes = 0;
  #from = 1n;
  #upTo = 0n;

  constructor(limits: RingLimits) {
    this.#limits = limits;
  }

  /** It knows everything that happened at this revision or later, */
  get from(): bigint {
    return this.#from;
  }

  /** up to and with this one. */
  get upTo(): bigint {
    return this.#upTo;
  }

  /** Bytes of all events that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Forgets everything: nothing is known of what happened up to and with `revision`. */
  reset(revision: bigint): void {
    this.#kept = [];
    this.#first = 0;
    this.#events = 0;
    this.#bytes = 0;
    this.#from = revision + 1n;
    this.#upTo = revision;
  }

  /** What the next revision brought; the oldest goes where there is too much. */
  push(revision: bigint, events: readonly ToldEvent[]): void {
    this.#upTo = revision;
    if (events.length === 0) return;
    const bytes = events.reduce((sum, event) => sum + event.bytes.length, 0);
    this.#kept.push({ revision, events, bytes });
    this.#events += events.length;
    this.#bytes += bytes;
    while (this.#events > this.#limits.events || this.#bytes > this.#limits.bytes) this.#dropOldest();
  }

  /**
   * What is wanted of whole revisions from `next` on: all of it, or at least `bytes` of it. Undefined: it is not known
   * any more.
   */
  read(next: bigint, filter: EventFilter, bytes: number): Told | undefined {
    if (next < this.#from) return undefined;
    const events: ToldEvent[] = [];
    let size = 0;
    for (let at = this.#indexOf(next); at < this.#kept.length; at += 1) {
      const kept = this.#kept[at];
      if (kept === undefined) break;
      for (const event of kept.events) {
        if (!isWanted(event, filter)) continue;
        events.push(event);
        size += event.bytes.length;
      }
      if (size >= bytes) return { events, upTo: kept.revision };
    }
    return { events, upTo: this.#upTo };
  }

  #dropOldest(): void {
    const oldest = this.#kept[this.#first];
    if (oldest === undefined) return;
    this.#first += 1;
    this.#events -= oldest.events.length;
    this.#bytes -= oldest.bytes;
    this.#from = oldest.revision + 1n;
    this.#kept[this.#first - 1] = { revision: oldest.revision, events: [], bytes: 0 };
    // Now and then all at once: to move the rest each time would cost as much as there is.
    if (this.#first * 2 < this.#kept.length) return;
    this.#kept.splice(0, this.#first);
    this.#first = 0;
  }

  /** Where the first revision stands that is `revision` or later. */
  #indexOf(revision: bigint): number {
    let low = this.#first;
    let high = this.#kept.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#kept[middle]?.revision ?? revision) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
