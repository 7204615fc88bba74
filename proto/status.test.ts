import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { EXIT, invalid, isRejection, REASONS, WeftError, type Reason } from '../core/errors.js';
import { decodeStatus, encodeStatus } from './status.js';

const peer = { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' } as const;

const received = (code: status, details: string, metadata = new Metadata()): ServiceError => {
  const error = new Error(details);
  return Object.assign<Error, Pick<ServiceError, 'code' | 'details' | 'metadata'>>(error, { code, details, metadata });
};

describe('errors on the wire', () => {
  it('arrive as they were thrown, for every reason of the table', () => {
    for (const reason of Object.keys(REASONS) as Reason[]) {
      const error = new WeftError({ reason, message: `about ${reason}`, metadata: { used: '2', total: '2' } });
      const { code, details, metadata } = encodeStatus(error);
      expect(code).toBe(status[REASONS[reason]]);
      const back = decodeStatus(received(code, details, metadata), peer);
      expect({ reason: back.reason, message: back.message, metadata: back.metadata }).toEqual({
        reason,
        message: `about ${reason}`,
        metadata: { used: '2', total: '2' },
      });
    }
  });

  it('name the fields that are wrong', () => {
    const { code, details, metadata } = encodeStatus(new WeftError(invalid('subnets[0].cidr', 'has host bits set')));
    expect(decodeStatus(received(code, details, metadata), peer).violations).toEqual([
      { field: 'subnets[0].cidr', description: 'has host bits set' },
    ]);
  });

  it.each([
    [status.UNAVAILABLE, 'CONTROLLER_UNAVAILABLE', 5],
    [status.DEADLINE_EXCEEDED, 'TIMED_OUT', 5],
    [status.PERMISSION_DENIED, 'NOT_ALLOWED', 6],
    [status.UNAUTHENTICATED, 'NOT_IDENTIFIED', 6],
    [status.UNIMPLEMENTED, 'INTERNAL', 1],
    [status.UNKNOWN, 'INTERNAL', 1],
  ])('of code %i without details become %s, exit status %i', (code, reason, exit) => {
    const error = decodeStatus(received(code, 'no details'), peer);
    expect(error.reason).toBe(reason);
    expect(EXIT[error.status]).toBe(exit);
  });

  it.each([
    'self-signed certificate in certificate chain',
    'Error: unable to verify the first certificate',
    'tlsv1 alert unknown ca',
    'certificate has expired',
  ])('are about credentials when TLS says %s', (details) => {
    expect(decodeStatus(received(status.UNAVAILABLE, details), peer).reason).toBe('NOT_IDENTIFIED');
  });

  it.each([
    ['Received message larger than max (5242893 vs 4194304)', 'ARGUMENT_INVALID'],
    ['Bandwidth exhausted or memory limit exceeded', 'TOO_MANY_CALLS'],
  ])('are about too much when gRPC says %s', (details, reason) => {
    expect(decodeStatus(received(status.RESOURCE_EXHAUSTED, details), peer).reason).toBe(reason);
  });

  it('are told from results by their shape', () => {
    expect(isRejection(invalid('name', 'is empty'))).toBe(true);
    expect(isRejection({ reason: 'because', message: 'x' })).toBe(false);
    expect(isRejection({})).toBe(false);
  });
});
