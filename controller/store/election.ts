/**
 * Who does what only one should do. For clean-up work, which must not depend on it: a leader that was deposed and has
 * not noticed (its machine stood still, or was cut off) still acts for a while. So each of its writes compares `fence()`,
 * and cannot commit once another may lead.
 *
 * A campaign is a key under `<name>/`, on the candidate's lease and named by it. The oldest of them leads; all others
 * watch, and the next one leads when the last before it has gone, because it resigned or its lease ended. A key that is
 * there and leads does so for as long as it is there, so to compare the key is to compare that.
 */
import { setMaxListeners } from 'node:events';
import { asError } from '../../core/errors.js';
import { anySignal, backoffMs, isAborted, pause, withDeadline } from '../../core/lifetime.js';
import { Compacted, StoreUnavailable, type Compare, type KeyValue, type Lease, type Store } from './store.js';

export interface CampaignOptions {
  readonly store: Pick<Store, 'list' | 'commit' | 'watch'>;
  /** What is led: a prefix of keys that nothing else uses, without the slash at its end. */
  readonly name: string;
  /** Who leads, for those who look. */
  readonly value: Uint8Array;
  /** Of this candidate alone, and kept. With one lease there is one campaign of a name at a time. */
  readonly lease: Lease;
}

/** Disposing of it resigns, so that the next one leads at once. */
export interface Leadership extends AsyncDisposable {
  /** To be compared by whatever the leader commits: holds only while it leads. */
  fence(): Compare;
  /** Aborts when it leads no longer: its key has gone, its lease is lost, or it resigned. */
  readonly lost: AbortSignal;
}

/** It leads no longer, or is no candidate any more; the message says why. */
export class Deposed extends Error {
  override readonly name = 'Deposed';
}

/** Milliseconds that taking a candidacy back may take; then it goes with its lease. */
const WITHDRAWAL_MS = 2_000;

/**
 * Stands as a candidate, and resolves when it leads. Survives an outage of the store for as long as the lease does.
 * Rejects with the signal's reason once that aborts, with LeaseLost when the lease is lost, with Deposed when somebody
 * else took its key away, with StoreRefused when the store refuses; it is no candidate any more then.
 */
export async function campaign(options: CampaignOptions, signal: AbortSignal): Promise<Leadership> {
  const candidate = new Candidate(options);
  const over = anySignal(signal, options.lease.lost);
  try {
    await candidate.stand(over);
    await candidate.untilFirst(over);
    over.throwIfAborted();
    return new Held(candidate);
  } catch (error) {
    await candidate.withdraw();
    signal.throwIfAborted();
    throw options.lease.lost.aborted ? asError(options.lease.lost.reason) : error;
  }
}

/** The candidate of a name that leads, if anybody does: its key, and its value as it was given. */
export async function leaderOf(
  store: Pick<Store, 'list'>,
  name: string,
  signal: AbortSignal,
): Promise<KeyValue | undefined> {
  const { entries } = await store.list(`${name}/`, signal);
  return entries.toSorted((a, b) => Number(a.createRevision - b.createRevision))[0];
}

class Candidate {
  readonly key: string;
  readonly #options: CampaignOptions;
  readonly #prefix: string;
  /** At which its key was put; 0 before that. */
  #revision = 0n;
  /** Whether the key may be there. */
  #stood = false;

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#prefix = `${options.name}/`;
    this.key = this.#prefix + options.lease.id;
  }

  get lease(): Lease {
    return this.#options.lease;
  }

  fence(): Compare {
    return { kind: 'unchanged', key: this.key, modRevision: this.#revision };
  }

  /** Puts the key. Nobody else puts this one, so one that is there already is its own, of a try that was not answered. */
  async stand(over: AbortSignal): Promise<void> {
    const { store, value, lease } = this.#options;
    const compares = [{ kind: 'absent', key: this.key }] as const;
    await patiently(over, async () => {
      this.#stood = true;
      const result = await store.commit({ compares, puts: [{ key: this.key, value, lease }], deletes: [] }, over);
      this.#revision = result.committed ? result.revision : (result.found[0]?.modRevision ?? 0n);
    });
  }

  /** Resolves when no key under the name is older. Throws Deposed when its own has gone. */
  async untilFirst(over: AbortSignal): Promise<void> {
    await this.#follow(over, (before) => before.size === 0);
  }

  /** Throws Deposed when its key has gone. */
  async untilGone(over: AbortSignal): Promise<void> {
    await this.#follow(over, () => false);
  }

  /** Takes the key away, so that others need not wait for the lease to end. */
  async withdraw(): Promise<void> {
    // With the lease, the key goes too.
    if (!this.#stood || this.lease.lost.aborted) return;
    const deadline = withDeadline(WITHDRAWAL_MS, this.lease.lost);
    try {
      await patiently(deadline, () =>
        this.#options.store.commit({ compares: [], puts: [], deletes: [this.key] }, deadline),
      );
      this.#stood = false;
    } catch (error) {
      if (!deadline.aborted) throw error;
    }
  }

  /** Follows the keys of the name until `enough` of those older than its own. */
  async #follow(over: AbortSignal, enough: (before: ReadonlySet<string>) => boolean): Promise<void> {
    await patiently(over, async () => {
      const { store } = this.#options;
      const { entries, revision } = await store.list(this.#prefix, over);
      const own = entries.find(({ key }) => key === this.key);
      if (own?.modRevision !== this.#revision) throw this.#gone();
      const older = entries.filter(({ createRevision }) => createRevision < own.createRevision);
      const before = new Set(older.map(({ key }) => key));
      if (enough(before)) return;
      for await (const { events } of store.watch({ prefix: this.#prefix, from: revision + 1n, signal: over })) {
        for (const event of events) {
          const key = event.kind === 'put' ? event.entry.key : event.key;
          if (key === this.key) throw this.#gone();
          if (event.kind === 'delete') before.delete(key);
        }
        if (enough(before)) return;
      }
      throw asError(over.aborted ? over.reason : new StoreUnavailable('the watch ended'));
    });
  }

  #gone(): Deposed {
    return new Deposed(`${this.key} is not there any more`);
  }
}

class Held implements Leadership {
  readonly #candidate: Candidate;
  readonly #lost = new AbortController();
  readonly #following: Promise<void>;
  #resigned: Promise<void> | undefined;

  constructor(candidate: Candidate) {
    this.#candidate = candidate;
    // Whatever the leader does listens.
    setMaxListeners(0, this.#lost.signal);
    const { lost } = candidate.lease;
    // At once, and not when the watch has heard of it.
    const onLost = (): void => this.#end(new Deposed('its lease is lost', { cause: lost.reason }));
    lost.addEventListener('abort', onLost, { once: true });
    if (lost.aborted) onLost();
    const over = anySignal(lost, this.#lost.signal);
    this.#following = candidate.untilGone(over).catch((error: unknown) => {
      lost.removeEventListener('abort', onLost);
      this.#end(new Deposed(asError(error).message, { cause: error }));
    });
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  fence(): Compare {
    return this.#candidate.fence();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(new Deposed('resigned'));
    await this.#following;
    await (this.#resigned ??= this.#candidate.withdraw());
  }

  #end(reason: Deposed): void {
    if (!this.#lost.signal.aborted) this.#lost.abort(reason);
  }
}

/** Does it until the store answers, or the signal aborts. */
async function patiently<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    signal.throwIfAborted();
    try {
      return await act();
    } catch (error) {
      if (isAborted(signal)) throw asError(signal.reason);
      if (!(error instanceof StoreUnavailable || error instanceof Compacted)) throw error;
      await pause(backoffMs(failures, 20, 1_000), signal);
    }
  }
}
