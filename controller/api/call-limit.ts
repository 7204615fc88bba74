/** How much of a controller one client may take up at a time, so that one that runs wild is not everybody's outage. */
import type { Principal } from '../identity/principal.js';

/** Calls of one client that are under way, streams to and from files among them. */
export const CALLS_MAX = 256;

/** Streams of one client that live as long as its connection; a host needs one, and a second while it changes over. */
export const STREAMS_MAX = 8;

/** Watches of one client, each of which is woken by whatever happens. */
export const WATCHES_MAX = 16;

/** What is counted apart. */
export type Slot = 'call' | 'stream' | 'watch';

/** As many of each as one client may have. */
export const MOST: Readonly<Record<Slot, number>> = { call: CALLS_MAX, stream: STREAMS_MAX, watch: WATCHES_MAX };

/** Counts by certificate: who has one is one client, over however many connections. */
export class CallLimit {
  readonly #taken = new Map<string, number>();

  /** A place for one more, to be given back by disposing; undefined when this client has as many as it may. */
  take(slot: Slot, client: Principal | undefined): Disposable | undefined {
    const key = client === undefined ? slot : `${slot} ${client.role} ${client.name}`;
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= MOST[slot]) return undefined;
    this.#taken.set(key, taken + 1);
    let given = false;
    return {
      [Symbol.dispose]: () => {
        if (given) return;
        given = true;
        const left = (this.#taken.get(key) ?? 1) - 1;
        if (left === 0) this.#taken.delete(key);
        else this.#taken.set(key, left);
      },
    };
  }
}
