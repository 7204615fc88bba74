/** A process full of simulated agents, as its parent sees it. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { deferred, type Deferred } from '../../core/lifetime.js';
import { checkoutDirectory } from '../lab/layout.js';
import type { Answer, OrderName, Orders } from './orders.js';

/** Milliseconds in which it leaves by itself. */
const LEAVE_MS = 5_000;

export class FleetProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Deferred<unknown>>();
  readonly #exited: Promise<unknown>;
  #next = 0;

  /** `nodeOptions`: `--max-old-space-size=8192`, `--cpu-prof`. */
  constructor(options: { readonly nodeOptions?: readonly string[] } = {}) {
    this.#child = fork(join(checkoutDirectory(), 'deploy', 'start.js'), ['e2e/simulated'], {
      execArgv: [...(options.nodeOptions ?? [])],
      // Numbers by the million go over it, and bigints.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#exited = once(this.#child, 'exit');
    this.#exited.catch(() => undefined);
    this.#child.on('message', ({ id, answer, error }: Answer) => {
      const asked = this.#asked.get(id);
      this.#asked.delete(id);
      if (error === undefined) asked?.resolve(answer);
      else asked?.reject(new Error(`simulated agents: ${error}`));
    });
    this.#child.once('exit', () => {
      for (const asked of this.#asked.values()) asked.reject(new Error('the process of simulated agents has ended'));
      this.#asked.clear();
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process of simulated agents could not be started');
    return this.#child.pid;
  }

  /** Rejects when the process is gone, or could not do it. */
  order<Name extends OrderName>(name: Name, ask: Orders[Name]['ask']): Promise<Orders[Name]['answer']> {
    const id = (this.#next += 1);
    const asked = deferred<unknown>();
    if (!this.#child.connected) return Promise.reject(new Error('the process of simulated agents has ended'));
    this.#asked.set(id, asked);
    this.#child.send({ id, name, ask });
    return asked.promise as Promise<Orders[Name]['answer']>;
  }

  /** Stops all of its agents as they stand: their connections stay, and nobody reads them. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  /** Lets them go on. */
  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** Whatever state it is in, it is gone after. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    this.thaw();
    if (this.#child.connected) this.#child.disconnect();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), LEAVE_MS);
    await this.#exited;
    clearTimeout(late);
  }
}
