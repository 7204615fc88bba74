/** Making and unmaking endpoints at the controllers, again and again where trying again helps. */
import { WeftError, type Reason } from '../../core/errors.js';
import type { EndpointId } from '../../core/ids.js';
import { backoffMs, pause } from '../../core/lifetime.js';
import type { Endpoint } from '../../core/model.js';
import type { SyncState } from '../sync/client.js';
import type { Asking, Controller, EndpointWish } from '../sync/controller.js';
import type { Latest } from '../state/latest.js';

const RETRY_FIRST_MS = 20;
const RETRY_CAP_MS = 1_000;

/** What passes by itself: another controller answers, a new stream begins, the store is back, or every host has declared itself. */
const PASSING: ReadonlySet<Reason> = new Set([
  'SESSION_STALE',
  'CONTROLLER_UNAVAILABLE',
  'STORE_UNAVAILABLE',
  'RESTORE_UNFINISHED',
  'HOSTS_UNDECLARED',
  'CONTENTION',
  'REVISION_AHEAD',
  'TIMED_OUT',
]);

/** Whether what failed so may well be done a little later. */
export function isPassing(error: unknown): boolean {
  return error instanceof WeftError && PASSING.has(error.reason);
}

export interface EndpointCallsOptions {
  readonly controller: Controller;
  readonly sync: Latest<SyncState>;
}

export class EndpointCalls {
  readonly #options: EndpointCallsOptions;

  constructor(options: EndpointCallsOptions) {
    this.#options = options;
  }

  /** Makes the endpoint, in the session of the moment. Rejects with WeftError: a refusal, or TIMED_OUT when the signal aborts. */
  create(wish: EndpointWish, asking: Asking): Promise<{ readonly endpoint: Endpoint; readonly revision: bigint }> {
    return this.#persist(asking, async () => {
      const session = await this.#options.sync.until(({ session }) => session, asking.signal);
      return this.#options.controller.createEndpoint(wish, session, asking);
    });
  }

  /** Marks the endpoint as removing; the revision of that. 0 when there is no such endpoint any more. */
  delete(id: EndpointId, asking: Asking): Promise<bigint> {
    return this.#persist(asking, async () => {
      try {
        return await this.#options.controller.deleteEndpoint(id, asking);
      } catch (error) {
        if (error instanceof WeftError && error.reason === 'ENDPOINT_NOT_FOUND') return 0n;
        throw error;
      }
    });
  }

  /** Returns when every reachable host concerned has the revision. */
  wait(revision: bigint, asking: Asking): Promise<void> {
    return this.#persist(asking, () => this.#options.controller.wait(revision, asking));
  }

  async #persist<T>(asking: Asking, act: () => Promise<T>): Promise<T> {
    let last: WeftError | undefined;
    for (let attempt = 0; ; attempt++) {
      try {
        return await act();
      } catch (error) {
        if (asking.signal.aborted) break;
        if (!(error instanceof WeftError) || !isPassing(error)) throw error;
        last = error;
      }
      await pause(backoffMs(attempt, RETRY_FIRST_MS, RETRY_CAP_MS), asking.signal);
    }
    throw last ?? new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: 'no controller can be reached' });
  }
}
