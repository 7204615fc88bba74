/** For tests: a store whose answers get lost, in the ways in which a network and a store at the end of it can do that. */
import { setTimeout as delay } from 'node:timers/promises';
import { StoreUnavailable, type CommitResult, type Store, type Transaction } from '../store/store.js';

/**
 * What becomes of a commit: its answer is lost; it never arrives; it arrives after its caller has given up; its answer
 * is lost, and the store does not answer the question what became of it.
 */
export const FAULTS = ['lost', 'dropped', 'late', 'silent'] as const;
export type Fault = (typeof FAULTS)[number];

/** Milliseconds after which a late commit arrives: when its caller has looked, and most likely tries again. */
const LATE_MS = 6;

export class LossyStore implements Store {
  /** For the commits to come, one after the other; then all goes well. */
  faults: Fault[] = [];
  /** How many faults there were. */
  met = 0;
  #mute = false;
  readonly #late = new Set<Promise<unknown>>();

  /** `inner` may have others before it, and is not closed with this. */
  constructor(readonly inner: Store) {}

  async commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult> {
    const fault = this.faults.shift();
    if (fault === undefined) return this.inner.commit(transaction, signal);
    this.met += 1;
    if (fault === 'late') {
      const arriving = delay(LATE_MS).then(() => this.inner.commit(transaction, NEVER));
      this.#late.add(arriving);
    } else if (fault !== 'dropped') {
      await this.inner.commit(transaction, signal);
    }
    this.#mute ||= fault === 'silent';
    throw new StoreUnavailable(`a test's fault: ${fault}`);
  }

  async get(key: string, signal: AbortSignal): ReturnType<Store['get']> {
    if (this.#mute) {
      this.#mute = false;
      throw new StoreUnavailable('a test’s fault: no answer');
    }
    return this.inner.get(key, signal);
  }

  /** Ends all faults; resolves when everything has arrived. */
  async heal(): Promise<void> {
    this.faults = [];
    this.#mute = false;
    const late = [...this.#late];
    this.#late.clear();
    await Promise.all(late);
  }

  list(...args: Parameters<Store['list']>): ReturnType<Store['list']> {
    return this.inner.list(...args);
  }

  count(...args: Parameters<Store['count']>): ReturnType<Store['count']> {
    return this.inner.count(...args);
  }

  revisions(...args: Parameters<Store['revisions']>): ReturnType<Store['revisions']> {
    return this.inner.revisions(...args);
  }

  oldest(...args: Parameters<Store['oldest']>): ReturnType<Store['oldest']> {
    return this.inner.oldest(...args);
  }

  watch(...args: Parameters<Store['watch']>): ReturnType<Store['watch']> {
    return this.inner.watch(...args);
  }

  grantLease(...args: Parameters<Store['grantLease']>): ReturnType<Store['grantLease']> {
    return this.inner.grantLease(...args);
  }

  adoptLease(...args: Parameters<Store['adoptLease']>): ReturnType<Store['adoptLease']> {
    return this.inner.adoptLease(...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.heal();
  }
}

const NEVER = new AbortController().signal;
