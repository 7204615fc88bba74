/** For tests: a leader in a process of its own, which can be killed and made to stand still. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pause } from '../../core/lifetime.js';
import { campaign } from './election.js';
import type { EtcdOptions } from './etcd-connection.js';
import { EtcdStore } from './etcd.js';

export interface CampaignerOptions {
  readonly etcd: EtcdOptions;
  readonly election: string;
  /** Which it writes all the time while it leads, fenced. */
  readonly workKey: string;
  readonly ttlMs: number;
}

/** What it says, a word a line: it leads; a write of its was refused, which is its end. */
export type Word = 'leads' | 'refused';

/**
 * Says what it is, and goes on writing for as long as the store lets it, without ever asking whether it still leads.
 * @public Called by the script below, in a process of its own.
 */
export async function runCampaigner({ etcd, election, workKey, ttlMs }: CampaignerOptions): Promise<void> {
  const { signal } = new AbortController();
  await using store = new EtcdStore(etcd);
  await using lease = await store.grantLease({ ttlMs }, signal);
  await using leadership = await campaign({ store, name: election, value: Buffer.from('child'), lease }, signal);
  say('leads');
  const puts = [{ key: workKey, value: Buffer.from('child') }];
  while (await pause(10, signal)) {
    const { committed } = await store.commit({ compares: [leadership.fence()], puts, deletes: [] }, signal);
    if (!committed) break;
  }
  say('refused');
}

function say(word: Word): void {
  process.stdout.write(`${word}\n`);
}

/** A campaigner as a process of its own; killed at the end. `npm test` builds it first. */
export class Campaigner implements Disposable {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(options: CampaignerOptions) {
    const module = join(import.meta.dirname, '../../dist/controller/store/campaigner.testing.js');
    const script = `import { runCampaigner } from ${JSON.stringify(module)}; await runCampaigner(JSON.parse(process.argv[1]));`;
    const args = ['--input-type=module', '--eval', script, JSON.stringify(options)];
    this.process = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    if (this.process.stdout === null) throw new Error('its output is a pipe');
    this.#lines = createInterface(this.process.stdout)[Symbol.asyncIterator]();
  }

  /** What it says next; undefined: nothing more. */
  async next(): Promise<string | undefined> {
    const line = await this.#lines.next();
    return line.done === true ? undefined : line.value;
  }

  [Symbol.dispose](): void {
    this.process.kill('SIGKILL');
  }
}
