/**
 * Requests whose bytes are no message. grpc-js would answer them with INTERNAL before anybody of ours is asked; so what
 * could not be read goes on as a request, and is refused where every request is, as the caller's mistake. So does what
 * would be read as less than it says.
 */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { WeftError, invalidFields } from '../../core/errors.js';
import { lostKey } from './lost-key.js';

/** In place of a request. */
class Unreadable {
  constructor(readonly cause: unknown) {}
}

/** The same service, which takes bytes for an answerable request whatever they are. Streams of requests are left alone. */
export function readingAnything<Service extends ServiceDefinition>(service: Service): Service {
  const methods = Object.entries(service).map(([name, method]) => [
    name,
    method.requestStream ? method : lenient(method),
  ]);
  return Object.fromEntries(methods) as Service;
}

/** The request; throws WeftError ARGUMENT_INVALID where there is none. */
export function readable<Request>(request: Request): Request {
  if (!(request instanceof Unreadable)) return request;
  if (request.cause instanceof WeftError) throw request.cause;
  const message = 'the bytes of the request are no message of this method';
  throw new WeftError({ reason: 'ARGUMENT_INVALID', message }, { cause: request.cause });
}

function lenient(method: MethodDefinition<unknown, unknown>): MethodDefinition<unknown, unknown> {
  return {
    ...method,
    requestDeserialize: (bytes) => {
      try {
        const lost = lostKey(bytes, method.requestDeserialize);
        return lost === undefined
          ? method.requestDeserialize(bytes)
          : new Unreadable(new WeftError(invalidFields([lost])));
      } catch (error) {
        return new Unreadable(error);
      }
    },
  };
}
