/** One run of one command: what it was told, its request id, its time limit, and where its words go. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { systemClock, type Clock } from '../core/clock.js';
import { resolveGlobals, typedGlobals, type Globals } from './globals.js';
import type { Surroundings } from './surroundings.js';

export class Invocation {
  /** Goes with every call of this run, into the logs of controllers and agents. */
  readonly requestId = randomUUID();
  #startedMs: number;

  constructor(
    readonly globals: Globals,
    readonly surroundings: Surroundings,
    private readonly clock: Clock = systemClock,
  ) {
    this.#startedMs = clock.monotonicMs();
  }

  /**
   * What is left of --timeout in milliseconds; at least 1, because a deadline of 0 means none to some. `otherwiseMs`
   * counts where none was typed: for what may take long without anything being wrong.
   */
  remainingMs(otherwiseMs?: number): number {
    const { timeoutMs, timeoutTyped } = this.globals;
    const limitMs = timeoutTyped ? timeoutMs : (otherwiseMs ?? timeoutMs);
    return Math.max(1, limitMs - this.elapsedMs());
  }

  /** Does what --timeout does not limit: a person may think for as long as it takes. */
  async untimed<T>(work: () => Promise<T>): Promise<T> {
    const beganMs = this.clock.monotonicMs();
    try {
      return await work();
    } finally {
      this.#startedMs += this.clock.monotonicMs() - beganMs;
    }
  }

  /** Milliseconds since the command began. */
  elapsedMs(): number {
    return this.clock.monotonicMs() - this.#startedMs;
  }

  /** One line of the answer. */
  print(line: string): void {
    this.surroundings.stdout.write(`${line}\n`);
  }

  /** The answer as the one JSON document. `pretty` for what people read anyway. */
  printJson(document: unknown, { pretty = false } = {}): void {
    this.print(JSON.stringify(document, undefined, pretty ? 2 : undefined));
  }

  /** A remark beside the answer. */
  note(line: string): void {
    this.surroundings.stderr.write(`weft: ${line}\n`);
  }
}

/** The exit status; undefined is 0. */
export type Outcome = number | undefined;

/** Makes commander's action out of a body: commander calls it with its arguments, its options, and the command. */
export type Act = (
  body: (invocation: Invocation, ...args: never[]) => Promise<Outcome>,
) => (...all: unknown[]) => Promise<void>;

/** Fills a command in: its subcommands, arguments and options. Loaded only when the command is called. */
export type Define = (command: Command, act: Act) => void;

/** What the runner of a command learns of it. */
export interface ActWatcher {
  readonly started: (invocation: Invocation) => void;
  readonly ended: (exitCode: number) => void;
}

/** Joins bodies to commander: makes each its invocation, and hands its exit status on. */
export function makeAct(surroundings: Surroundings, watcher: ActWatcher): Act {
  return (body) =>
    async (...all: unknown[]) => {
      const command = all.at(-1) as Command;
      const globals = resolveGlobals(typedGlobals(command), surroundings.env, surroundings.homeDir);
      const invocation = new Invocation(globals, surroundings);
      watcher.started(invocation);
      if (globals.verbose) invocation.note(`request ${invocation.requestId}`);
      watcher.ended((await body(invocation, ...(all.slice(0, -1) as never[]))) ?? 0);
    };
}

/** Adds examples to a command's help, each a line to type and what it does. */
export function addExamples(
  command: Command,
  ...examples: readonly (readonly [line: string, does: string])[]
): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, does]) => `  $ ${line.padEnd(width)}   ${does}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}
