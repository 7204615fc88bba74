/** For tests: weft-controller as a process, as its launcher starts it; and its clients. `npm test` builds it first. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../core/lifetime.js';
import { TLS_FILES } from '../proto/channel.js';
import { TestClient } from './testing.js';

const PROGRAM = join(import.meta.dirname, '..', 'bin', 'weft-controller');

/** Milliseconds in which a controller is ready, also on a busy machine. */
const PATIENCE_MS = 15_000;

/** A running controller. */
export interface StartedController {
  readonly child: ChildProcess;
  readonly port: number;
  readonly clusterId: string;
  readonly metricsPort: number;
  /** Of an embedded etcd. */
  readonly etcdPid: number | undefined;
  /** The lines of its log so far. */
  readonly lines: () => readonly LogLine[];
}

/** A process that runs; `text`: what it wrote to stderr so far. */
interface RunningProgram {
  readonly child: ChildProcess;
  readonly text: () => string;
  readonly ended: Promise<number | null>;
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: string };

/** The controllers that one test file starts: none of them outlives it. */
export class ControllerPrograms implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];

  /** Runs it with exactly these arguments. `ended`: its exit status, null when a signal ended it. */
  run(...args: string[]): RunningProgram {
    const child = spawn(PROGRAM, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#children.push(child);
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
    const ended = once(child, 'close').then(([code]) => code as number | null);
    return { child, text: () => text, ended };
  }

  /** Starts one on any port, and returns when it says it is ready. */
  async start(directory: string, ...args: string[]): Promise<StartedController> {
    const free = ['--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'];
    const { child, text } = this.run('--data-dir', directory, ...free, ...args);
    const lines = (): LogLine[] => linesOf(text());
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    while (child.exitCode === null && (await pause(50, deadline))) {
      const ready = lines().find(({ msg }) => msg === 'ready');
      if (ready === undefined) continue;
      const etcdPid = lines().find(({ msg }) => msg === 'started etcd')?.['etcdPid'] as number | undefined;
      const { port, clusterId, metricsPort } = ready as unknown as StartedController;
      return { child, port, clusterId, metricsPort, etcdPid, lines };
    }
    throw new Error(`the controller did not come up:\n${text()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => endProgram(child, 'SIGKILL')));
  }
}

/** Sends the signal, unless it is gone already; its exit status, null when a signal ended it. */
export async function endProgram(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exited = once(child, 'exit');
  child.kill(signal);
  await exited;
  return child.exitCode;
}

/** The whole lines of a log. */
export function linesOf(text: string): LogLine[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LogLine);
}

/** A client with the credentials in the directory `tls`. */
export async function connect(port: number, tls: string): Promise<TestClient> {
  const [ca, cert, key] = await Promise.all(
    [TLS_FILES.ca, TLS_FILES.certificate, TLS_FILES.key].map((file) => readFile(join(tls, file), 'utf8')),
  );
  return new TestClient(port, { ca: ca ?? '', cert: cert ?? '', key: key ?? '' });
}
