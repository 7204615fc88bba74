/** Streaming calls over gRPC, as `call` is for unary ones: a signal, a deadline, and errors from the one table. */
import { asError } from '../core/errors.js';
import {
  Metadata,
  type CallOptions,
  type ClientReadableStream,
  type ClientWritableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { REQUEST_ID_KEY, type CallContext } from './call.js';
import { decodeStatus } from './status.js';

/** A generated client's method that answers with a stream, bound: `client.backup.bind(client)`. */
export type ServerStreamMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
) => ClientReadableStream<Response>;

/** A generated client's method that is asked with a stream, bound. */
export type ClientStreamMethod<Request, Response> = (
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Response) => void,
) => ClientWritableStream<Request>;

/** Everything that the server answers. Throws WeftError; leaving the loop early ends the call. */
export async function* download<Request, Response>(
  method: ServerStreamMethod<Request, Response>,
  request: Request,
  context: CallContext,
): AsyncGenerator<Response> {
  const { signal, peer } = context;
  const stream = method(request, metadataOf(context), { deadline: deadlineOf(context) });
  const cancel = (): void => {
    stream.cancel();
  };
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  try {
    for await (const response of stream) yield response as Response;
  } catch (error) {
    throw isServiceError(error) ? decodeStatus(error, peer) : error;
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** Sends each request when the one before has room, and resolves with the answer. Rejects with WeftError, or with what `requests` threw. */
export function upload<Request, Response>(
  method: ClientStreamMethod<Request, Response>,
  requests: AsyncIterable<Request>,
  context: CallContext,
): Promise<Response> {
  const { signal, peer } = context;
  return new Promise((resolve, reject) => {
    const ended = new AbortController();
    const cancel = (): void => {
      stream.cancel();
    };
    const stream = method(metadataOf(context), { deadline: deadlineOf(context) }, (error, response) => {
      signal.removeEventListener('abort', cancel);
      ended.abort();
      if (error === null) resolve(response);
      else reject(decodeStatus(error, peer));
    });
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    pump(stream, requests, ended.signal).catch((error: unknown) => {
      reject(asError(error));
      cancel();
    });
  });
}

/** The server may end the call before it has heard everything: then the rest is not sent. */
async function pump<Request>(
  stream: ClientWritableStream<Request>,
  requests: AsyncIterable<Request>,
  ended: AbortSignal,
): Promise<void> {
  for await (const request of requests) {
    if (ended.aborted) return;
    if (!stream.write(request)) await drained(stream, ended);
  }
  stream.end();
}

function drained<Request>(stream: ClientWritableStream<Request>, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      ended.removeEventListener('abort', done);
      resolve();
    };
    stream.once('drain', done);
    if (ended.aborted) done();
    else ended.addEventListener('abort', done, { once: true });
  });
}

function metadataOf({ requestId }: CallContext): Metadata {
  const metadata = new Metadata();
  metadata.set(REQUEST_ID_KEY, requestId);
  return metadata;
}

function deadlineOf({ timeoutMs }: CallContext): Date {
  return new Date(Date.now() + timeoutMs);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}
