/** A controller as a process of its own, started on an etcd that runs, for what it costs to start and to be there. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from '../controller/program.testing.js';
import { checkoutDirectory } from '../e2e/lab/layout.js';
import type { ListNetworksRequest } from '../proto/gen/weft/v1/network.js';
import type { EtcdFiles } from './bare-range.js';
import type { Memory } from './probed-controller/main.js';

/** Milliseconds for a controller to come up, on a machine that is busy. */
const PATIENCE_MS = 120_000;

/** What `weft network ls` asks for. */
const EVERY_NETWORK: ListNetworksRequest = { filters: [], pageSize: 0, pageToken: '', minRevision: 0n };

/** A program of the checkout that is not installed with Weft, to be spawned. */
export function program(folder: string, ...argv: readonly string[]): readonly string[] {
  return [join(checkoutDirectory(), 'deploy', 'start.js'), folder, ...argv];
}

export class ControllerProcess implements AsyncDisposable {
  private constructor(
    readonly child: ChildProcess,
    /** Milliseconds from the start of the process until it had answered a read. */
    readonly firstReadMs: number,
    /** Addresses that it says are held, in all networks. */
    readonly used: number,
  ) {}

  /** Starts one with its keys in `directory`, and returns when it has answered its first read: `weft network ls`. */
  static async start(directory: string, { address, ca, cert, key }: EtcdFiles): Promise<ControllerProcess> {
    const etcd = ['--etcd-endpoints', `https://${address}`, '--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key];
    const own = ['--data-dir', directory, '--listen', '127.0.0.1:0', '--metrics', 'off'];
    const began = performance.now();
    const child = spawn(process.execPath, program('bench/probed-controller', ...own, ...etcd), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    try {
      using client = await connect(await portOf(child), join(directory, 'admin'));
      const list = client.networks.list.bind(client.networks);
      const { networks } = await client.call(list, EVERY_NETWORK, PATIENCE_MS);
      const firstReadMs = performance.now() - began;
      const used = networks.reduce((sum, { usage }) => sum + Number(usage?.used ?? 0n), 0);
      return new ControllerProcess(child, firstReadMs, used);
    } catch (error) {
      await end(child);
      throw error;
    }
  }

  /** What it has in use, after all that can be collected has been. */
  async memory(): Promise<Memory> {
    this.child.send('memory');
    const [memory] = (await once(this.child, 'message', { signal: AbortSignal.timeout(PATIENCE_MS) })) as [Memory];
    return memory;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.child);
  }
}

/** Where it listens, as its log says when it is ready. */
async function portOf(child: ChildProcess): Promise<number> {
  if (child.stderr === null) throw new TypeError('its log is not read');
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stderr, signal: AbortSignal.timeout(PATIENCE_MS) })) {
    lines.push(line);
    const { msg, port } = JSON.parse(line) as { msg?: string; port?: number };
    if (msg === 'ready' && port !== undefined) {
      // It must not wait for somebody to read on.
      child.stderr.resume();
      return port;
    }
  }
  throw new Error(`the controller did not come up:\n${lines.join('\n')}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
