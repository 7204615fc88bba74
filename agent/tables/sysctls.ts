/** Sysctls of one namespace, by their path below /proc/sys/net. */
import { readFileSync, writeFileSync } from 'node:fs';
import { step } from '../../core/fault.js';
import { fromNodeError, KernelError } from '../kernel/kernel-error.js';
import { inNetns } from '../kernel/namespace.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/**
 * /proc/sys/net shows the namespace of the thread that opens a file, so the files are opened inside, synchronously.
 * A sysctl that the kernel does not have (bridge netfilter not loaded, no IPv6) needs no setting.
 */
export class SysctlsTable implements Table<string> {
  readonly #netns: string;

  /** @param netns path of the namespace */
  constructor(netns: string) {
    this.#netns = netns;
  }

  list(wanted: ReadonlyMap<string, string>): Map<string, string> {
    return inNetns(this.#netns, () => {
      const rows = new Map<string, string>();
      for (const [path, value] of wanted) rows.set(path, read(path) ?? value);
      return rows;
    });
  }

  same(a: string, b: string): boolean {
    return a === b;
  }

  put(rows: readonly Put<string>[]): RowResult[] {
    return inNetns(this.#netns, () => rows.map(({ key, value }) => write(key, value)));
  }

  /** Nothing: a sysctl has no absence, and goes with its namespace. */
  drop(rows: readonly Drop<string>[]): RowResult[] {
    return rows.map(() => undefined);
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/net/${path}`, 'utf8').trim().replaceAll(/\s+/g, ' ');
  } catch (error) {
    const typed = fromNodeError(`sysctl net/${path}`, error);
    if (typed instanceof KernelError && typed.code === 'ENOENT') return undefined;
    throw typed;
  }
}

function write(path: string, value: string): RowResult {
  try {
    writeFileSync(`/proc/sys/net/${path}`, value, { flag: 'r+' });
    step('netlink');
    return undefined;
  } catch (error) {
    const typed = fromNodeError(`sysctl net/${path}=${value}`, error);
    if (!(typed instanceof KernelError)) throw typed;
    return typed.code === 'ENOENT' ? undefined : typed;
  }
}
