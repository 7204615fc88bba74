/** Asking one of several controllers, and another when the one that was asked is lost meanwhile. */
import { WeftError, type Reason, type StatusName } from '../core/errors.js';
import { pause } from '../core/lifetime.js';
import type { UnaryMethod } from '../proto/call.js';
import type { Invocation } from './invocation.js';

/** Limits of one call other than the command's own. */
export interface CallLimits {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Calls a bound method (`agent.sandboxes.create.bind(agent.sandboxes)`) within the command's time. Rejects with WeftError. */
export type Ask = <Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  limits?: CallLimits,
) => Promise<Response>;

/** The second try is made at once; this much chance goes before each further one. */
const JITTER_MS = 200;

/** What one controller says, or the lack of it, where another one may do better: it is gone, or it has lost its etcd. */
const LOCAL: ReadonlySet<Reason> = new Set(['CONTROLLER_UNAVAILABLE', 'STORE_UNAVAILABLE']);

/** Answers to a repeated call that the first one may have caused itself. */
const CAUSED: ReadonlySet<StatusName> = new Set(['NOT_FOUND', 'ALREADY_EXISTS', 'FAILED_PRECONDITION', 'ABORTED']);

/**
 * Asks as `ask` does, every controller once at most. A call may then have been carried out without an answer, and is
 * made again: each can be, since objects get their ids from who makes them. Where the second answer may come of the
 * first call's effect, what happened to that one is told.
 */
export function askAny(
  ask: Ask,
  list: { readonly size: number; moveOn(): void },
  { surroundings }: Pick<Invocation, 'surroundings'>,
): Ask {
  return async (method, request, limits) => {
    const { signal = surroundings.signal } = limits ?? {};
    let first: WeftError | undefined;
    for (let tried = 1; ; tried++) {
      try {
        return await ask(method, request, limits);
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        if (first !== undefined && CAUSED.has(error.status)) throw first;
        if (!LOCAL.has(error.reason) || tried >= list.size || signal.aborted) throw error;
        first ??= error;
        list.moveOn();
        if (tried > 1) await pause(Math.random() * JITTER_MS, signal);
      }
    }
  };
}
