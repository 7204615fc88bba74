/**
 * For who keeps losing to a steady stream of others, each of them small and soon done. Whatever a command lost by it
 * keeps clear from then on: others in this controller that are about to write there wait until it is done, and are then
 * decided anew. Where nobody loses, this costs nobody anything.
 */
import { deferred, type Deferred } from '../../core/lifetime.js';
import { Departures } from '../store/departures.js';
import type { Compare, Transaction } from '../store/store.js';

/** Losses after which others are not kept waiting any more: it loses to another controller, where nobody waits. */
const LOSSES = 16;

export class Barriers {
  readonly #raised = new Set<Barrier>();
  readonly #departures = new Departures();

  /** For one command, which keeps nothing clear yet. */
  open(): Barrier {
    return new Barrier(this.#raised, this.#departures);
  }

  /** How many keep something clear. */
  get size(): number {
    return this.#raised.size;
  }
}

interface Raised {
  readonly keys: Set<string>;
  readonly prefixes: Set<string>;
  readonly over: Deferred<void>;
}

export class Barrier implements Disposable {
  readonly #raised: Set<Barrier>;
  readonly #departures: Departures;
  /** From when it first keeps something clear until it is done. */
  #up: Raised | undefined;
  #losses = 0;
  /** It has waited for others, or has lost, and waits for nobody any more. */
  #exempt = false;

  constructor(raised: Set<Barrier>, departures: Departures) {
    this.#raised = raised;
    this.#departures = departures;
  }

  /** Whether it keeps all under a prefix clear: others come there all the time, so whoever pauses meets the next. */
  get hurries(): boolean {
    return this.#up !== undefined && this.#up.prefixes.size > 0;
  }

  /** Keeps clear what the command just lost by. Claims are left out: who is quicker has them, and that is an answer. */
  raise(failed: readonly Compare[]): void {
    this.#losses += 1;
    if (this.#losses > LOSSES) {
      this[Symbol.dispose]();
      return;
    }
    const places = failed.filter(({ kind }) => kind !== 'absent' && kind !== 'present');
    if (places.length === 0) return;
    this.#exempt = true;
    this.#raised.add(this);
    this.#up ??= { keys: new Set(), prefixes: new Set(), over: deferred() };
    const { keys, prefixes } = this.#up;
    for (const compare of places) {
      if ('prefix' in compare) prefixes.add(compare.prefix);
      else keys.add(compare.key);
    }
  }

  /**
   * Resolves when those are done that keep clear what `transaction` writes; undefined: nobody does. A command waits once,
   * and not at all when it keeps something clear itself: so nobody waits in a circle, and nobody for ever. It must hold
   * nothing meanwhile that others wait for. Rejects with the signal's reason.
   */
  wait(transaction: Transaction, signal: AbortSignal): Promise<void> | undefined {
    if (this.#raised.size === 0 || this.#exempt) return undefined;
    const ahead: Promise<void>[] = [];
    for (const other of this.#raised) {
      if (other.#up !== undefined && bars(other.#up, transaction)) ahead.push(other.#up.over.promise);
    }
    if (ahead.length === 0) return undefined;
    this.#exempt = true;
    return this.#until(Promise.all(ahead), signal);
  }

  async #until(clear: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const woken: Deferred<void> = deferred();
    using _leaving = this.#departures.notice(signal, woken.reject);
    clear.then(() => {
      woken.resolve();
    }, woken.reject);
    await woken.promise;
  }

  /** Lets the others go on. */
  [Symbol.dispose](): void {
    this.#raised.delete(this);
    this.#up?.over.resolve();
    this.#up = undefined;
  }
}

/** Whether a transaction writes what is kept clear. */
function bars({ keys, prefixes }: Raised, { puts, deletes }: Transaction): boolean {
  const keeps = (key: string): boolean => keys.has(key) || [...prefixes].some((prefix) => key.startsWith(prefix));
  return puts.some(({ key }) => keeps(key)) || deletes.some(keeps);
}
