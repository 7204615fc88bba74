/**
 * The one table of everything that can be refused or fail: a stable reason, its gRPC code and the exit status of
 * `weft`. docs/errors.md says of each what to do; a test holds the two against each other.
 */

/** gRPC's status codes that Weft answers with, and the exit status of `weft` for each. */
export const EXIT = {
  INVALID_ARGUMENT: 2,
  DEADLINE_EXCEEDED: 5,
  NOT_FOUND: 3,
  ALREADY_EXISTS: 4,
  PERMISSION_DENIED: 6,
  RESOURCE_EXHAUSTED: 7,
  FAILED_PRECONDITION: 4,
  OUT_OF_RANGE: 4,
  ABORTED: 5,
  INTERNAL: 1,
  UNAVAILABLE: 5,
  UNAUTHENTICATED: 6,
} as const;

export type StatusName = keyof typeof EXIT;

/** Every reason and its status. */
export const REASONS = {
  ARGUMENT_INVALID: 'INVALID_ARGUMENT',
  OPTION_NOT_BUILT: 'INVALID_ARGUMENT',
  FIELD_IMMUTABLE: 'INVALID_ARGUMENT',
  BACKUP_INVALID: 'INVALID_ARGUMENT',
  NETWORK_NOT_FOUND: 'NOT_FOUND',
  ENDPOINT_NOT_FOUND: 'NOT_FOUND',
  HOST_NOT_FOUND: 'NOT_FOUND',
  SANDBOX_NOT_FOUND: 'NOT_FOUND',
  NOT_CONNECTED: 'NOT_FOUND',
  NETWORK_NAME_TAKEN: 'ALREADY_EXISTS',
  ID_TAKEN: 'ALREADY_EXISTS',
  HOST_NAME_TAKEN: 'ALREADY_EXISTS',
  VTEP_TAKEN: 'ALREADY_EXISTS',
  SANDBOX_EXISTS: 'ALREADY_EXISTS',
  ALREADY_CONNECTED: 'ALREADY_EXISTS',
  ADDRESS_TAKEN: 'ALREADY_EXISTS',
  MAC_TAKEN: 'ALREADY_EXISTS',
  NETWORK_IN_USE: 'FAILED_PRECONDITION',
  SUBNETS_OVERLAP: 'FAILED_PRECONDITION',
  ADDRESSES_HELD: 'FAILED_PRECONDITION',
  SESSION_STALE: 'FAILED_PRECONDITION',
  CLUSTER_DIFFERS: 'FAILED_PRECONDITION',
  SANDBOX_BUSY: 'FAILED_PRECONDITION',
  HOST_DRAINED: 'FAILED_PRECONDITION',
  HOST_FENCED: 'FAILED_PRECONDITION',
  HOST_IN_USE: 'FAILED_PRECONDITION',
  HOST_REMOVED: 'FAILED_PRECONDITION',
  EPOCH_DIFFERS: 'FAILED_PRECONDITION',
  HISTORY_COMPACTED: 'OUT_OF_RANGE',
  ADDRESSES_EXHAUSTED: 'RESOURCE_EXHAUSTED',
  SUBNETS_EXHAUSTED: 'RESOURCE_EXHAUSTED',
  VNIS_EXHAUSTED: 'RESOURCE_EXHAUSTED',
  HOST_NUMBERS_EXHAUSTED: 'RESOURCE_EXHAUSTED',
  QUOTA_REACHED: 'RESOURCE_EXHAUSTED',
  TOO_MANY_CALLS: 'RESOURCE_EXHAUSTED',
  STORE_FULL: 'RESOURCE_EXHAUSTED',
  CONTENTION: 'ABORTED',
  REVISION_CHANGED: 'ABORTED',
  STORE_UNAVAILABLE: 'UNAVAILABLE',
  RESTORE_UNFINISHED: 'UNAVAILABLE',
  HOSTS_UNDECLARED: 'UNAVAILABLE',
  CONTROLLER_UNAVAILABLE: 'UNAVAILABLE',
  AGENT_UNAVAILABLE: 'UNAVAILABLE',
  REVISION_AHEAD: 'UNAVAILABLE',
  TIMED_OUT: 'DEADLINE_EXCEEDED',
  NOT_CONVERGED: 'DEADLINE_EXCEEDED',
  NOT_ALLOWED: 'PERMISSION_DENIED',
  NOT_IDENTIFIED: 'UNAUTHENTICATED',
  KERNEL_FAILED: 'INTERNAL',
  INTERNAL: 'INTERNAL',
} as const satisfies Record<string, StatusName>;

export type Reason = keyof typeof REASONS;

/** One field of a request and what is wrong with it. `field` is a path: `subnets[0].gateway`. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** A refusal as a value: what is expected to happen (conflict, not found, exhausted) is returned, not thrown. */
export interface Rejection {
  readonly reason: Reason;
  /** One sentence for a person: what is wrong with which thing, and what to do. */
  readonly message: string;
  readonly violations?: readonly Violation[];
  /** Facts for programs: ids, figures. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A refusal on its way out of a handler or a command. */
export class WeftError extends Error implements Rejection {
  override readonly name = 'WeftError';
  readonly reason: Reason;
  readonly violations: readonly Violation[];
  readonly metadata: Readonly<Record<string, string>>;

  constructor(rejection: Rejection, options?: ErrorOptions) {
    super(readable(rejection.message), options);
    this.reason = rejection.reason;
    this.violations = (rejection.violations ?? []).map(({ field, description }) => ({
      ...{ field: readable(field), description: readable(description) },
    }));
    this.metadata = rejection.metadata ?? {};
  }

  get status(): StatusName {
    return REASONS[this.reason];
  }
}

/**
 * Messages quote what others wrote, by JSON.stringify; that leaves DEL and the C1 controls as they are, and U+009B alone
 * begins a command to a terminal.
 */
function readable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\t\n]/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A refusal of one field. */
export function invalid(field: string, description: string): Rejection {
  return { reason: 'ARGUMENT_INVALID', message: `${field}: ${description}`, violations: [{ field, description }] };
}

/** Fields that an answer names, and characters of each: it travels in a call's trailers, which clients take 64 KiB of. */
const VIOLATIONS_MAX = 10;
const DESCRIPTION_MAX = 300;

/** A refusal of several fields, at least one: the first ten are named, the rest counted. */
export function invalidFields(violations: readonly Violation[], reason: Reason = 'ARGUMENT_INVALID'): Rejection {
  const named = violations.slice(0, VIOLATIONS_MAX).map(({ field, description }) => ({
    field: shorten(field),
    description: shorten(description),
  }));
  const more = violations.length > named.length ? `; and ${String(violations.length - named.length)} more` : '';
  const message = named.map(({ field, description }) => `${field}: ${description}`).join('; ');
  return { reason, message: `${message}${more}`, violations: named };
}

function shorten(text: string): string {
  return text.length > DESCRIPTION_MAX ? `${text.slice(0, DESCRIPTION_MAX)}...` : text;
}

/** Whether a value returned by a rule is a refusal. */
export function isRejection(value: object): value is Rejection {
  return 'reason' in value && 'message' in value && typeof value.reason === 'string' && value.reason in REASONS;
}

/** What was thrown, as an Error: anything can be thrown, and a signal's reason can be anything. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
