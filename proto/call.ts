/** Calling over gRPC: a unary method as a promise with a signal, a deadline, and errors from the one table. */
import { Metadata, type CallOptions, type ClientUnaryCall, type ServiceError } from '@grpc/grpc-js';
import { decodeStatus } from './status.js';
import type { Reason } from '../core/errors.js';

/** The metadata key of the id that follows a request from the CLI to the hosts' logs. */
export const REQUEST_ID_KEY = 'weft-request-id';

/** A generated client's unary method, bound: `client.create.bind(client)`. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export interface CallContext {
  readonly signal: AbortSignal;
  /** Milliseconds until the call is given up, here and at the server. */
  readonly timeoutMs: number;
  readonly requestId: string;
  /** Who is called, for errors: `the controller at 192.0.2.10:7070`. */
  readonly peer: { readonly name: string; readonly unavailable: Reason };
}

/** Calls once. Rejects with WeftError. */
export function call<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  { signal, timeoutMs, requestId, peer }: CallContext,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const metadata = new Metadata();
    metadata.set(REQUEST_ID_KEY, requestId);
    const deadline = new Date(Date.now() + timeoutMs);
    const cancel = (): void => {
      pending.cancel();
    };
    const pending = method(request, metadata, { deadline }, (error, response) => {
      signal.removeEventListener('abort', cancel);
      if (error === null) resolve(response);
      else reject(decodeStatus(error, peer));
    });
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
  });
}
