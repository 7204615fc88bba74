/**
 * What surrounds every call: who asks, the id that follows the request through the logs, a signal that ends with the
 * call, and errors as the one table has them. Whatever a handler did not mean to say stays in the log.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type {
  Deadline,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
} from '@grpc/grpc-js';
import type { Logger } from '../../core/daemon/log.js';
import { WeftError, type StatusName } from '../../core/errors.js';
import { anySignal, unlessAborted } from '../../core/lifetime.js';
import { REQUEST_ID_KEY } from '../../proto/call.js';
import { encodeStatus } from '../../proto/status.js';
import { principalOf, type Principal } from '../identity/principal.js';
import { StoreRefused, StoreUnavailable } from '../store/store.js';
import { authorize, describePrincipal, type Method } from './authorize.js';
import { CallLimit, MOST, type Slot } from './call-limit.js';
import { readable } from './unreadable.js';

/** One call, as a handler sees it. */
export interface CallInfo {
  readonly principal: Principal;
  readonly requestId: string;
  /** Aborts when the caller has gone, and a little before its deadline, so that the answer says why. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export type Unary<Request, Response> = (request: Request, info: CallInfo) => Promise<Response>;

/** A stream as its handler sees it: it lives until this resolves, and ends with what this throws. */
export type Bidi<Request, Response> = (stream: ServerDuplexStream<Request, Response>, info: CallInfo) => Promise<void>;

/** What comes out is sent, each message when the one before it has gone out. */
export type ServerStream<Request, Response> = (request: Request, info: CallInfo) => AsyncIterable<Response>;

/** Answers once it has read what it wants; what is not read yet waits at the client. */
export type ClientStream<Request, Response> = (requests: AsyncIterable<Request>, info: CallInfo) => Promise<Response>;

/** A call that was answered, for the metrics. */
export interface ServeObserver {
  answered(call: { readonly method: Method; readonly code: StatusName | 'OK'; readonly seconds: number }): void;
}

/** Milliseconds a call may take when its client named no deadline, and at most. */
const DEFAULT_MS = 30_000;
const MAX_MS = 600_000;

/** How long before the client's deadline the answer is given, as a share and at most: it has to get there. */
const MARGIN_SHARE = 0.1;
const MARGIN_MS = 300;

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getAuthContext' | 'getDeadline' | 'cancelled'> & {
  once(event: 'cancelled', listener: () => void): unknown;
};

export class Serve {
  readonly #log: Logger;
  readonly #observer: ServeObserver;
  readonly #limit = new CallLimit();

  constructor(options: { readonly log: Logger; readonly observer: ServeObserver }) {
    this.#log = options.log;
    this.#observer = options.observer;
  }

  /** A unary method for grpc-js. */
  unary<Request, Response>(method: Method, handler: Unary<Request, Response>): handleUnaryCall<Request, Response> {
    return (call, callback) => {
      const timeoutMs = allowedMs(call.getDeadline());
      const around = this.#begin(method, call, { slot: 'call', signals: [], timeoutMs });
      Promise.resolve()
        .then(() => {
          const info = around.info();
          return handler(readable(call.request), info);
        })
        .then(
          (response) => {
            around.done();
            callback(null, response);
          },
          (error: unknown) => {
            callback(encodeStatus(around.failed(error)));
          },
        );
    };
  }

  /** A bidirectional method for grpc-js. */
  bidi<Request, Response>(
    method: Method,
    handler: Bidi<Request, Response>,
  ): handleBidiStreamingCall<Request, Response> {
    return (stream) => {
      const around = this.#begin(method, stream, { slot: 'stream', signals: [] });
      // A peer that vanishes shows as an error of the stream; `cancelled` has told the handler already.
      stream.on('error', () => undefined);
      Promise.resolve()
        .then(() => handler(stream, around.info()))
        .then(
          () => {
            around.done();
            stream.end();
          },
          (error: unknown) => {
            // Emitted, not destroyed with: grpc-js sends the status once what was written before it is out.
            stream.emit('error', Object.assign(new Error('refused'), encodeStatus(around.failed(error))));
          },
        );
    };
  }

  /** A method for grpc-js that answers with a stream. It may take as long as its client lets it. */
  serverStream<Request, Response>(
    method: Method,
    handler: ServerStream<Request, Response>,
    slot: Slot = 'call',
  ): handleServerStreamingCall<Request, Response> {
    return (stream) => {
      const around = this.#begin(method, stream, { slot, signals: [clientDeadline(stream)] });
      // A peer that vanishes shows as an error of the stream; `cancelled` has told the handler already.
      stream.on('error', () => undefined);
      const send = async (): Promise<void> => {
        const info = around.info();
        for await (const response of handler(readable(stream.request), info)) {
          info.signal.throwIfAborted();
          await unlessAborted(written(stream, response), info.signal);
        }
      };
      send().then(
        () => {
          around.done();
          stream.end();
        },
        (error: unknown) => {
          stream.emit('error', Object.assign(new Error('refused'), encodeStatus(around.failed(error))));
        },
      );
    };
  }

  /** A method for grpc-js that takes a stream. It may take as long as its client lets it. */
  clientStream<Request, Response>(
    method: Method,
    handler: ClientStream<Request, Response>,
  ): handleClientStreamingCall<Request, Response> {
    return (stream, callback) => {
      const around = this.#begin(method, stream, { slot: 'call', signals: [clientDeadline(stream)] });
      stream.on('error', () => undefined);
      const answer = async (): Promise<Response> => {
        const info = around.info();
        // Else a client that sends nothing more would be waited for beyond its deadline.
        const giveUp = (): void => {
          stream.destroy();
        };
        info.signal.addEventListener('abort', giveUp, { once: true });
        try {
          return await handler(stream as AsyncIterable<Request>, info);
        } finally {
          info.signal.removeEventListener('abort', giveUp);
        }
      };
      answer().then(
        (response) => {
          around.done();
          callback(null, response);
        },
        (error: unknown) => {
          callback(encodeStatus(around.failed(error)));
        },
      );
    };
  }

  #begin(
    method: Method,
    call: AnyCall,
    {
      slot,
      signals,
      timeoutMs,
    }: { readonly slot: Slot; readonly signals: readonly AbortSignal[]; readonly timeoutMs?: number },
  ) {
    const began = performance.now();
    const requestId = readRequestId(call.metadata.get(REQUEST_ID_KEY)[0]);
    const principal = principalOf(call.getAuthContext().sslPeerCertificate);
    const who = principal === undefined ? 'nobody' : describePrincipal(principal);
    // What comes over a stream carries requests of its own; the id it was opened with is the stream's.
    const idKey = slot === 'stream' ? 'streamId' : 'requestId';
    const log = this.#log.child({ [idKey]: requestId, method, principal: who });
    const cancelled = new AbortController();
    const place = this.#limit.take(slot, principal);
    let ended = false;
    let gone = false;
    // Not AbortSignal.timeout, whose timer would outlive each of many calls.
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            cancelled.abort(Object.assign(new Error('the deadline of the call is over'), { name: 'TimeoutError' }));
          }, timeoutMs);
    // Of every call, also one that went well, and not before its answer has been read: an answer that nobody reads is
    // as much of a burden as a call that goes on.
    const closed = (): void => {
      gone = true;
      if (ended) place?.[Symbol.dispose]();
      else cancelled.abort();
    };
    if (call.cancelled) closed();
    else call.once('cancelled', closed);
    const signal = signals.length === 0 ? cancelled.signal : anySignal(cancelled.signal, ...signals);
    // A batch waits with one signal for a thousand things, which is no leak; Node would warn of eleven on stderr.
    setMaxListeners(0, signal);
    const end = (code: StatusName | 'OK') => {
      ended = true;
      clearTimeout(timer);
      if (gone) place?.[Symbol.dispose]();
      const seconds = (performance.now() - began) / 1_000;
      this.#observer.answered({ method, code, seconds });
      return { code, ms: Math.round(seconds * 1_000) };
    };
    return {
      info: (): CallInfo => {
        const authorized = authorize(method, principal);
        if (place === undefined) throw tooMany(slot, authorized);
        return { principal: authorized, requestId, signal, log };
      },
      /** Writes down that the call went well; */
      done: (): void => {
        log.debug(end('OK'), 'answered');
      },
      /** or how it failed, which is what to answer with. */
      failed: (error: unknown): WeftError => {
        const answer = toWeftError(error, { requestId, signal });
        const facts = end(answer.status);
        if (answer.status === 'INTERNAL') log.error({ ...facts, err: error }, 'failed');
        else log.info({ ...facts, reason: answer.reason, refusal: answer.message }, 'refused');
        return answer;
      },
    };
  }
}

/** Resolves when a message has gone out: for a client that does not read, one is kept here and no more. */
function written<Response>(stream: ServerWritableStream<unknown, Response>, response: Response): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(response, (error: Error | null | undefined) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

/** What the caller is told of whatever a handler threw. */
export function toWeftError(
  error: unknown,
  call: { readonly requestId: string; readonly signal: AbortSignal },
): WeftError {
  if (error instanceof WeftError) return error;
  const cause = { cause: error };
  if (call.signal.aborted) {
    const message = 'the call ended before it was carried out; whether the change was made is unknown';
    return new WeftError({ reason: 'TIMED_OUT', message }, cause);
  }
  if (error instanceof StoreUnavailable) {
    return new WeftError({ reason: 'STORE_UNAVAILABLE', message: 'the store does not answer; try again' }, cause);
  }
  if (error instanceof StoreRefused) {
    return new WeftError({ reason: 'STORE_UNAVAILABLE', message: `the store refused: ${error.message}` }, cause);
  }
  const message = `internal error; the controller's log has it under request ${call.requestId}`;
  return new WeftError({ reason: 'INTERNAL', message }, cause);
}

const PLURAL: Readonly<Record<Slot, string>> = { call: 'calls', stream: 'streams', watch: 'watches' };

function tooMany(slot: Slot, principal: Principal): WeftError {
  const what = `${String(MOST[slot])} ${PLURAL[slot]}`;
  return new WeftError({
    reason: 'TOO_MANY_CALLS',
    message: `${describePrincipal(principal)} has ${what} under way, which is as many as one client may; wait for some to end`,
  });
}

/** Aborts a little before the client's deadline; where it named none, never. */
function clientDeadline(call: { getDeadline(): Deadline }): AbortSignal {
  const deadline = call.getDeadline();
  const until = deadline instanceof Date ? deadline.getTime() : deadline;
  if (!Number.isFinite(until)) return new AbortController().signal;
  const left = until - Date.now();
  // A timer takes no more than 2^31 milliseconds.
  return AbortSignal.timeout(
    Math.ceil(Math.max(0, Math.min(2 ** 31 - 1, left - Math.min(MARGIN_MS, left * MARGIN_SHARE)))),
  );
}

/** Milliseconds a handler has: a whole number. */
function allowedMs(deadline: Deadline): number {
  const until = deadline instanceof Date ? deadline.getTime() : deadline;
  if (!Number.isFinite(until)) return DEFAULT_MS;
  const left = until - Date.now();
  // Whole milliseconds: AbortSignal.timeout takes no fractions.
  return Math.ceil(Math.max(0, Math.min(MAX_MS, left - Math.min(MARGIN_MS, left * MARGIN_SHARE))));
}

/** The client's id for the request where it is one that logs can carry. */
function readRequestId(given: unknown): string {
  return typeof given === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(given) ? given : randomUUID();
}
