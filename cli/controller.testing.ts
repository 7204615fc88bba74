/** The real controller with an etcd of its own, for tests: a process on a loopback port, gone with its files afterwards. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The launcher. */
export const CONTROLLER = fileURLToPath(new URL('../bin/weft-controller', import.meta.url));
const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 10_000;

export interface TestController extends AsyncDisposable {
  /** Its data directory. */
  readonly directory: string;
  /** What `weft` needs in its environment to find it and be let in. */
  readonly env: { readonly WEFT_CONTROLLER: string; readonly WEFT_TLS_DIR: string };
}

/** Starts one with these flags besides its own, and returns when it serves. */
export async function startTestController(more: readonly string[] = []): Promise<TestController> {
  const directory = mkdtempSync(path.join(tmpdir(), 'weft-cli-controller-'));
  const flags = ['--data-dir', directory, '--listen', '127.0.0.1:0', '--name', 'c1', '--metrics', 'off', ...more];
  const child = spawn(CONTROLLER, ['run', ...flags], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  const dispose = async (): Promise<void> => {
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await ended;
    clearTimeout(force);
    rmSync(directory, { recursive: true, force: true });
  };
  const lines: string[] = [];
  const late = setTimeout(() => child.kill('SIGTERM'), START_LIMIT_MS);
  for await (const line of createInterface(child.stderr)) {
    lines.push(line);
    const port = portOf(line);
    if (port === undefined) continue;
    clearTimeout(late);
    child.stderr.resume();
    return {
      directory,
      env: { WEFT_CONTROLLER: `127.0.0.1:${String(port)}`, WEFT_TLS_DIR: path.join(directory, 'admin') },
      [Symbol.asyncDispose]: dispose,
    };
  }
  clearTimeout(late);
  await dispose();
  throw new Error(`the controller did not start:\n${lines.join('\n')}`);
}

/** The port in the log line that says it is ready. */
function portOf(line: string): number | undefined {
  try {
    const { msg, port } = JSON.parse(line) as { readonly msg?: unknown; readonly port?: unknown };
    return msg === 'ready' && typeof port === 'number' ? port : undefined;
  } catch {
    return undefined;
  }
}
