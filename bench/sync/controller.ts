/** The controller as its users start it, on an etcd that runs already; it can be ended and started again at its port. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, withDeadline } from '../../core/lifetime.js';
import { checkoutDirectory } from '../../e2e/lab/layout.js';

/** Milliseconds until it is ready, with 100,000 endpoints to read on a busy machine. */
const READY_MS = 60_000;

export interface ControllerOptions {
  /** Its keys and its log. */
  readonly directory: string;
  readonly etcd: { readonly endpoint: string; readonly ca: string; readonly cert: string; readonly key: string };
  /** `--cpu-prof`. */
  readonly nodeOptions: readonly string[];
}

export class BenchController implements AsyncDisposable {
  readonly #options: ControllerOptions;
  #child: ChildProcess | undefined;
  #port = 0;

  constructor(options: ControllerOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the controller does not run');
    return this.#child.pid;
  }

  /** Returns when it is ready. */
  async start(): Promise<void> {
    const { directory, etcd, nodeOptions } = this.#options;
    const logFile = join(directory, 'log');
    const log = openSync(logFile, 'w', 0o600);
    const program = join(checkoutDirectory(), 'bin', 'weft-controller');
    const argv = ['run', '--data-dir', directory, '--listen', `127.0.0.1:${String(this.#port)}`, '--metrics', 'off'];
    const store = ['--etcd-endpoints', etcd.endpoint, '--etcd-ca', etcd.ca, '--etcd-cert', etcd.cert];
    const child = spawn(process.execPath, [...nodeOptions, program, ...argv, ...store, '--etcd-key', etcd.key], {
      stdio: ['ignore', 'ignore', log],
    });
    closeSync(log);
    this.#child = child;
    const late = withDeadline(READY_MS);
    while (child.exitCode === null && child.signalCode === null && (await pause(20, late))) {
      const ready = readFileSync(logFile, 'utf8')
        .split('\n')
        .find((line) => line.includes('"msg":"ready"'));
      if (ready === undefined) continue;
      this.#port = (JSON.parse(ready) as { port: number }).port;
      return;
    }
    throw new Error(`the controller did not come up:\n${readFileSync(logFile, 'utf8').slice(-2_000)}`);
  }

  /** Ends it as a supervisor would; whatever state it is in, it is gone after. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
    await exited;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
