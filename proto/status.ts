/** WeftError as gRPC sends it, and back: a standard code, `google.rpc.ErrorInfo` and, for arguments, `BadRequest`. */
import { Metadata, status as codes, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { REASONS, WeftError, type Reason, type Rejection } from '../core/errors.js';
import type { Any } from './gen/google/protobuf/any.js';
import { BadRequest, ErrorInfo } from './gen/google/rpc/error_details.js';
import { Status } from './gen/google/rpc/status.js';

/** `ErrorInfo.domain` of every reason in the table. */
const DOMAIN = 'weft';
const DETAILS_KEY = 'grpc-status-details-bin';
const TYPE_PREFIX = 'type.googleapis.com/';

/**
 * What TLS says when one side does not accept the other's certificate. gRPC passes it on as a mere text, under the code
 * of a server that is not there; without looking into it, somebody with the wrong credentials would look for an outage.
 */
const STRANGERS = /\bcertificate\b|\bunknown ca\b/i;

/** What gRPC says of a message beyond its bound, under the code that everything has that is too much. */
const TOO_LARGE = /\blarger than\b/;

/** The status a handler ends its call with. */
export function encodeStatus(error: WeftError): Pick<StatusObject, 'code' | 'details' | 'metadata'> {
  const status = toStatus(error);
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, Buffer.from(Status.encode(status).finish()));
  return { code: codes[error.status], details: error.message, metadata };
}

/** The same as a message, for the one of many that failed. */
export function toStatus(error: WeftError): Status {
  const code = codes[error.status];
  const info = ErrorInfo.fromPartial({ reason: error.reason, domain: DOMAIN, metadata: error.metadata });
  const details: Any[] = [
    { typeUrl: `${TYPE_PREFIX}google.rpc.ErrorInfo`, value: Buffer.from(ErrorInfo.encode(info).finish()) },
  ];
  if (error.violations.length > 0) {
    const request = BadRequest.fromPartial({
      fieldViolations: error.violations.map((violation) => ({ ...violation })),
    });
    details.push({
      typeUrl: `${TYPE_PREFIX}google.rpc.BadRequest`,
      value: Buffer.from(BadRequest.encode(request).finish()),
    });
  }
  return Status.fromPartial({ code, message: error.message, details });
}

/** What a call was refused with, as the error that was thrown there. `peer` names who was called, for the rest. */
export function decodeStatus(error: ServiceError, peer: { name: string; unavailable: Reason }): WeftError {
  const carried = rejectionIn(error.metadata);
  if (carried !== undefined) return new WeftError(carried, { cause: error });
  switch (error.code) {
    case codes.UNAVAILABLE:
      if (STRANGERS.test(error.details)) {
        const message = `${peer.name} and these credentials are not of one cluster; name others with --tls-dir: ${error.details}`;
        return new WeftError({ reason: 'NOT_IDENTIFIED', message }, { cause: error });
      }
      return new WeftError(
        { reason: peer.unavailable, message: `${peer.name} cannot be reached: ${error.details}` },
        { cause: error },
      );
    case codes.DEADLINE_EXCEEDED:
      return new WeftError({ reason: 'TIMED_OUT', message: `${peer.name} did not answer in time` }, { cause: error });
    case codes.RESOURCE_EXHAUSTED:
      // Without a reason of ours gRPC itself says it: of a message, or of a connection whose answers nobody reads.
      return new WeftError(
        TOO_LARGE.test(error.details)
          ? { reason: 'ARGUMENT_INVALID', message: `the message is too large for ${peer.name}: ${error.details}` }
          : { reason: 'TOO_MANY_CALLS', message: `${peer.name} takes no more at once: ${error.details}` },
        { cause: error },
      );
    case codes.PERMISSION_DENIED:
      return new WeftError({ reason: 'NOT_ALLOWED', message: error.details }, { cause: error });
    case codes.UNAUTHENTICATED:
      return new WeftError({ reason: 'NOT_IDENTIFIED', message: error.details }, { cause: error });
    default:
      return new WeftError({ reason: 'INTERNAL', message: `${peer.name}: ${error.details}` }, { cause: error });
  }
}

function rejectionIn(metadata: Metadata): Rejection | undefined {
  const [bytes] = metadata.get(DETAILS_KEY);
  if (!(bytes instanceof Buffer)) return undefined;
  const status = Status.decode(bytes);
  const find = (type: string): Buffer | undefined =>
    status.details.find(({ typeUrl }) => typeUrl === `${TYPE_PREFIX}${type}`)?.value;
  const info = find('google.rpc.ErrorInfo');
  if (info === undefined) return undefined;
  const { reason, domain, metadata: facts } = ErrorInfo.decode(info);
  if (domain !== DOMAIN || !(reason in REASONS)) return undefined;
  const request = find('google.rpc.BadRequest');
  return {
    reason: reason as Reason,
    message: status.message,
    metadata: facts,
    violations: request === undefined ? [] : BadRequest.decode(request).fieldViolations,
  };
}
