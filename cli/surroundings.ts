/** What a command can see and touch of the process it runs in: handed over, so that commands run in tests as they are. */

/** Where text goes. */
export interface Output {
  readonly write: (text: string) => void;
  /** Whether a person is watching: decides on colours and on lines that rewrite themselves. */
  readonly isTty: boolean;
}

export interface Surroundings {
  /** The answer, and nothing else. */
  readonly stdout: Output;
  /** Errors, notes and progress. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  /** Aborts when the person or the system asks the process to end; its reason is an `Interruption`. */
  readonly signal: AbortSignal;
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
