/** What a command can see and touch of the process it runs in: handed over, so that commands run in tests as they are. */

/** Where text goes. */
export interface Output {
  readonly write: (text: string) => void;
  /** Whether a person is watching: decides on colours and on lines that rewrite themselves. */
  readonly isTty: boolean;
}

/** Where answers of people come from. */
export interface Input {
  readonly isTty: boolean;
  /** The next line, without its end; undefined: there is none any more. Rejects with the reason of an aborted `signal`. */
  readonly readLine: (signal: AbortSignal) => Promise<string | undefined>;
}

export interface Surroundings {
  readonly stdin: Input;
  /** The answer, and nothing else. */
  readonly stdout: Output;
  /** Bytes of an answer that is a file; resolves when there is room for more. */
  readonly writeBytes: (bytes: Uint8Array) => Promise<void>;
  /** Errors, notes and progress. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  /** Aborts when the person or the system asks the process to end; its reason is an `Interruption`. */
  readonly signal: AbortSignal;
  /** Runs a program with this process's terminal; resolves with its exit status, 128 + n where signal n ended it. */
  readonly runProgram: (argv: readonly [string, ...string[]]) => Promise<number>;
}

/** A signal asked for the end. `exitCode` is what a shell reports of a process that died of it: 128 + its number. */
export class Interruption extends Error {
  override readonly name = 'Interruption';
  constructor(
    readonly signalName: NodeJS.Signals,
    readonly exitCode: number,
  ) {
    super(`interrupted by ${signalName}`);
  }
}

/** The interruption that aborted `signal`, where one did. */
export function interruptionOf(signal: AbortSignal): Interruption | undefined {
  return signal.aborted && signal.reason instanceof Interruption ? signal.reason : undefined;
}

/** gRPC's status of a call that its caller broke off. */
const CANCELLED = 1;

/** What an error means to the person: a call that failed because of an interruption is the interruption, all else is itself. */
export function meaningOf(error: unknown, signal: AbortSignal): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  const brokenOff = cause instanceof Error && 'code' in cause && cause.code === CANCELLED;
  return brokenOff ? (interruptionOf(signal) ?? error) : error;
}
