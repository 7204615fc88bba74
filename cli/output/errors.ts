/** How a command ends that did not get there: one line that says what to do, and the exit status of INTERFACE's table. */
import { CommanderError } from 'commander';
import { EXIT, REASONS, WeftError, type Reason, type StatusName } from '../../core/errors.js';
import { Interruption } from '../surroundings.js';
import { typedName } from './typed.js';

/** Exit status of what is no refusal at all: a mistake in Weft. */
const EXIT_FAILED = EXIT.INTERNAL;
const EXIT_USAGE = EXIT.INVALID_ARGUMENT;

/** What only the CLI can add: which option to turn, which command says more. */
const HINTS: Partial<Record<Reason, string>> = {
  CONTROLLER_UNAVAILABLE: 'start it, or name another with --controller or WEFT_CONTROLLER',
  AGENT_UNAVAILABLE: 'start weft-agent on this host, or name its socket with --agent or WEFT_AGENT',
  TIMED_OUT: 'allow more with --timeout SECONDS',
  NETWORK_NOT_FOUND: 'weft network ls has those there are',
  ENDPOINT_NOT_FOUND: 'weft endpoint ls has those there are',
  HOST_NOT_FOUND: 'weft host ls has those there are',
  SANDBOX_NOT_FOUND: 'weft sandbox ls has those there are',
  NOT_CONNECTED: 'weft sandbox ls has what each is on',
  HOSTS_UNDECLARED: 'weft status has them',
  NOT_CONVERGED: 'see weft status, or allow more with --timeout SECONDS',
};

/** What hands of Docker's users type before they think: `exec -it`. */
const TERMINAL_OPTION = /unknown option '-(?:i|t|it|ti)'/;

/** A failure of what is no part of a cluster, such as a lab: it has no reason in the table, but a status like the others. */
export class LocalFailure extends Error {
  override readonly name = 'LocalFailure';
  constructor(
    readonly status: StatusName,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The exit status that tells scripts what went wrong. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof WeftError || error instanceof LocalFailure) return EXIT[error.status];
  // Help and version are asked for and end with 0; commander's own codes for everything else are bad usage.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof Interruption) return error.exitCode;
  return EXIT_FAILED;
}

export interface ErrorContext {
  readonly requestId: string | undefined;
  readonly verbose: boolean;
  /** The command line that prints the help of what was tried: `weft network create --help`. */
  readonly helpCommand: string;
}

/** Every line of an error on stderr, the newline included; empty where all has been said. */
export function renderError(error: unknown, context: ErrorContext): string {
  if (error instanceof Interruption) return '';
  if (error instanceof CommanderError) {
    if (error.code === 'commander.help' || error.exitCode === 0) return '';
    const hint = TERMINAL_OPTION.test(error.message) ? 'the program has this terminal without it; ' : '';
    return `weft: ${oneLine(usageText(error.message))}; ${hint}see ${context.helpCommand}\n`;
  }
  // It may carry the end of a log, which only makes sense line by line.
  if (error instanceof LocalFailure) return `weft: ${error.message.trim()}\n`;
  const message = error instanceof Error ? error.message : String(error);
  const reason = error instanceof WeftError ? error.reason : 'INTERNAL';
  const hint = HINTS[reason];
  const told = context.verbose || REASONS[reason] === 'INTERNAL' ? context.requestId : undefined;
  const line = [
    `weft: ${oneLine(asTyped(withoutWrapping(message), error))}`,
    hint === undefined ? '' : `; ${hint}`,
    told === undefined ? '' : ` (${reason}, request ${told})`,
  ];
  return `${line.join('')}\n${context.verbose ? details(error) : ''}`;
}

/** The fields that the message names, as people typed them. */
function asTyped(message: string, error: unknown): string {
  if (!(error instanceof WeftError)) return message;
  return error.violations.reduce(
    (text, violation) => text.replace(`${violation.field}: `, () => `${typedName(violation)}: `),
    message,
  );
}

function details(error: unknown): string {
  if (!(error instanceof WeftError)) return error instanceof Error ? `${error.stack ?? ''}\n` : '';
  const facts = Object.entries(error.metadata).map(([name, value]) => `  ${name}: ${value}\n`);
  const fields = error.violations.map(({ field, description }) => `  ${field}: ${description}\n`);
  return [...fields, ...facts].join('');
}

/** Commander's "error: unknown option '--x'\n(Did you mean --y?)" as a part of a line. */
function usageText(message: string): string {
  return message.replace(/^error: /, '').replace(/\n?\(Did you mean/, ' (did you mean');
}

function oneLine(text: string): string {
  return (
    text
      .trim()
      .replace(/\s*\n\s*/g, ' ')
      // A full stop, and not the end of an ellipsis.
      .replace(/(?<!\.)\.$/, '')
  );
}

/** grpc-js wraps why it could not connect: "No connection established. Last error: Error: WHY. Resolution note: ". */
function withoutWrapping(message: string): string {
  return message.replace(/No connection established\. Last error: (?:Error: )?(.*?)\. ?Resolution note:.*$/s, '$1');
}
