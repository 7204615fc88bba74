/** One of Weft's daemons on a machine of a lab: started as a user starts it, stopped, or killed. */
import { pause, withDeadline } from '../../core/lifetime.js';
import { LabError } from './lab-error.js';
import type { NamespaceHost } from './namespace-host.js';
import { LabProcess, type Environment, type Exit } from './process.js';
import { continueTree, killTree, stopTree } from './process-tree.js';
import { isStopped } from './procfs.js';
import { readState, updateState } from './state-file.js';

/** `paused`: stopped by a signal. `dead`: ended, or never started. */
export type DaemonState = 'running' | 'paused' | 'dead';

export interface DaemonOptions {
  readonly labDirectory: string;
  readonly host: NamespaceHost;
  readonly what: 'agent' | 'controller' | 'etcd';
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

  get state(): DaemonState {
    const { process } = this;
    if (process?.running !== true) return 'dead';
    return isStopped(process.identity) ? 'paused' : 'running';
  }

  /** For people: `the agent on h1`. */
  get title(): string {
    return `the ${this.options.what} on ${this.options.host.name}`;
  }

  /** Where its log is appended to, over all its lives. */
  get logFile(): string {
    return this.options.host.logFile(this.options.what);
  }

  /** Starts it, and waits until it is ready. Rejects with LabError: `exists` when it runs, `failed` when it ended. */
  async start(options: StartOptions = {}): Promise<LabProcess> {
    const { env = {}, args = [], untilReady = true, timeoutMs = READY_TIMEOUT_MS } = options;
    const { host, what, argv, labDirectory } = this.options;
    if (this.running) throw new LabError('exists', `${this.title} runs`);
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
    const name = this.title;
    const stop = withDeadline(timeoutMs, ...(signal === undefined ? [] : [signal]));
    while (!stop.aborted) {
      if (!started.running) throw new LabError('failed', `${name} ended at its start:\n${started.logTail()}`);
      if (await this.options.isReady(stop).catch(() => false)) return;
      await pause(POLL_MS, stop);
    }
    signal?.throwIfAborted();
    throw new LabError('timed-out', `${name} is not ready after ${String(timeoutMs)} ms:\n${started.logTail()}`);
  }

  /** SIGTERM, and waits for its end. Does nothing when it does not run; one that is paused is resumed for it. */
  async stop(timeoutMs?: number): Promise<Exit | undefined> {
    if (this.state === 'paused') this.resume();
    return this.running ? this.process?.stop(timeoutMs) : undefined;
  }

  /** SIGKILL for itself alone, and waits for its end. Does nothing when it does not run. */
  async kill(): Promise<Exit | undefined> {
    if (this.state === 'paused') this.resume();
    return this.running ? this.process?.kill() : undefined;
  }

  /** SIGKILL for it and all that it started (a controller's own etcd), and waits for their end. */
  async killAll(): Promise<void> {
    if (this.process !== undefined && this.running) await killTree(this.process.identity);
  }

  /** SIGSTOP for it and all that it started; returns when they stand still. Does nothing when it does not run. */
  async pause(): Promise<void> {
    if (this.process !== undefined && this.running) await stopTree(this.process.identity);
  }

  /** SIGCONT for it and all that it started. Does nothing when they run. */
  resume(): void {
    if (this.process !== undefined) continueTree(this.process.identity);
  }

  /** Waits until it ends by itself. */
  async exited(signal?: AbortSignal): Promise<Exit | undefined> {
    return this.process?.exited(signal);
  }

  get #key(): string {
    return `${this.options.host.name}/${this.options.what}`;
  }
}
