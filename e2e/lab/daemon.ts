/** One of Weft's daemons on a machine of a lab: started as a user starts it, stopped, or killed. */
import { pause, withDeadline } from '../../core/lifetime.js';
import { LabError } from './lab-error.js';
import type { NamespaceHost } from './namespace-host.js';
import { LabProcess, type Environment, type Exit } from './process.js';
import { readState, updateState } from './state-file.js';

export interface DaemonOptions {
  readonly labDirectory: string;
  readonly host: NamespaceHost;
  readonly what: 'agent' | 'controller';
  /** What it is always started with. */
  readonly argv: readonly string[];
  /** Whether it does its work; asked again and again after the start. */
  readonly isReady: (signal: AbortSignal) => Promise<boolean>;
}

export interface StartOptions {
  readonly env?: Environment;
  /** Further arguments. */
  readonly args?: readonly string[];
  /** False to return as soon as the process is there, for one that is meant to die. */
  readonly untilReady?: boolean;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

export class Daemon {
  #started: LabProcess | undefined;

  constructor(private readonly options: DaemonOptions) {}

  /** The process that runs, or ran last, also when another process started it. */
  get process(): LabProcess | undefined {
    if (this.#started !== undefined) return this.#started;
    const recorded = readState(this.options.labDirectory)?.processes[this.#key];
    return recorded && new LabProcess(recorded, this.logFile);
  }

  get running(): boolean {
    return this.process?.running ?? false;
  }

  /** Where its log is appended to, over all its lives. */
  get logFile(): string {
    return this.options.host.logFile(this.options.what);
  }

  /** Starts it, and waits until it is ready. Rejects with LabError: `exists` when it runs, `failed` when it ended. */
  async start(options: StartOptions = {}): Promise<LabProcess> {
    const { env = {}, args = [], untilReady = true, timeoutMs = READY_TIMEOUT_MS } = options;
    const { host, what, argv, labDirectory } = this.options;
    if (this.running) throw new LabError('exists', `the ${what} on ${host.name} runs`);
    const started = await host.spawn([...argv, ...args], {
      log: what,
      env,
      ...(options.signal && { signal: options.signal }),
    });
    this.#started = started;
    updateState(labDirectory, (state) => ({
      ...state,
      processes: { ...state.processes, [this.#key]: started.identity },
    }));
    if (untilReady) await this.#waitUntilReady(started, timeoutMs, options.signal);
    return started;
  }

  async #waitUntilReady(started: LabProcess, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const name = `the ${this.options.what} on ${this.options.host.name}`;
    const stop = withDeadline(timeoutMs, ...(signal === undefined ? [] : [signal]));
    while (!stop.aborted) {
      if (!started.running) throw new LabError('failed', `${name} ended at its start:\n${started.logTail()}`);
      if (await this.options.isReady(stop).catch(() => false)) return;
      await pause(POLL_MS, stop);
    }
    signal?.throwIfAborted();
    throw new LabError('timed-out', `${name} is not ready after ${String(timeoutMs)} ms:\n${started.logTail()}`);
  }

  /** SIGTERM, and waits for its end. Does nothing when it does not run. */
  async stop(timeoutMs?: number): Promise<Exit | undefined> {
    return this.running ? this.process?.stop(timeoutMs) : undefined;
  }

  /** SIGKILL, and waits for its end. Does nothing when it does not run. */
  async kill(): Promise<Exit | undefined> {
    return this.running ? this.process?.kill() : undefined;
  }

  /** Waits until it ends by itself. */
  async exited(signal?: AbortSignal): Promise<Exit | undefined> {
    return this.process?.exited(signal);
  }

  get #key(): string {
    return `${this.options.host.name}/${this.options.what}`;
  }
}
