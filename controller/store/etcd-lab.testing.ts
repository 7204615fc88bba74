/** For tests: a real etcd on loopback in a directory of its own, all of it gone at the end. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { EmbeddedEtcd } from './embedded-etcd.js';
import type { EtcdOptions } from './etcd-connection.js';
import { compact, revoke } from './etcd-orders.testing.js';
import { EtcdStore } from './etcd.js';
import { never, type StoreUnderTest } from './contract-bench.testing.js';

export class EtcdLab implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    readonly etcd: EmbeddedEtcd,
  ) {}

  static async open(): Promise<EtcdLab> {
    const directory = await mkdtemp(join(tmpdir(), 'weft-etcd-'));
    try {
      const etcd = await EmbeddedEtcd.start({ directory, log: pino({ level: 'silent' }) }, never);
      return new EtcdLab(directory, etcd);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** How to reach this etcd; through `port` instead, where given. */
  options(changed: Partial<EtcdOptions> & { readonly port?: number } = {}): EtcdOptions {
    const { port, ...rest } = changed;
    const endpoints = port === undefined ? this.etcd.endpoints : [`https://127.0.0.1:${String(port)}`];
    const { tls, keepaliveMs } = this.etcd;
    return { endpoints, tls, keepaliveMs, ...rest };
  }

  store(changed: Partial<EtcdOptions> & { readonly port?: number } = {}): EtcdStore {
    return new EtcdStore(this.options(changed));
  }

  get port(): number {
    return Number(new URL(this.etcd.endpoints[0] ?? '').port);
  }

  compact(revision: bigint): Promise<void> {
    return compact(this.options(), revision);
  }

  revoke(id: string): Promise<void> {
    return revoke(this.options(), id);
  }

  /** Kills etcd as the machine might. Its supervisor starts it again. */
  kill(): void {
    if (this.etcd.pid === undefined) throw new Error('there is no etcd to kill');
    process.kill(this.etcd.pid, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.etcd[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** An etcd for one contract suite. */
export async function openEtcdUnderTest(): Promise<StoreUnderTest> {
  const lab = await EtcdLab.open();
  const store = lab.store();
  return {
    store,
    compact: (revision) => lab.compact(revision),
    revoke: (id) => lab.revoke(id),
    another: () => lab.store(),
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await lab[Symbol.asyncDispose]();
    },
  };
}
