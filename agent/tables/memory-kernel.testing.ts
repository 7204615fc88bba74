/**
 * A kernel in memory, for tests of what stands on the tables: it refuses what the real one refuses (a row whose link or
 * namespace is missing), forgets what the real one forgets (entries of a deleted link), and fails where it is told to.
 */
import type { Kernel, NamespaceTables } from './kernel.js';
import { TABLE_ORDER, type LinkRow, type RowOf, type TableName } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** What is asked of the kernel before each operation: an error to fail it with, or undefined. */
export type Fault = (operation: string) => Error | undefined;

type Space = { readonly [K in TableName]: Map<string, RowOf<K>> };

export class MemoryKernel implements Kernel {
  readonly #spaces = new Map<string, Space>();
  readonly #fault: Fault;

  constructor(fault: Fault = () => undefined) {
    this.#fault = fault;
  }

  list(): { readonly name: string; readonly whole: boolean }[] {
    this.#attempt('list namespaces');
    return [...this.#spaces.keys()].sort().map((name) => ({ name, whole: true }));
  }

  create(name: string): void {
    this.#attempt(`create ${name}`);
    this.#spaces.set(name, {
      sysctls: new Map(),
      links: new Map<string, LinkRow>([['lo', { kind: 'found' }]]),
      ports: new Map(),
      neighbours: new Map(),
      fdb: new Map(),
      resolution: new Map(),
      addresses: new Map(),
      routes: new Map(),
    });
  }

  delete(name: string): void {
    this.#attempt(`delete ${name}`);
    this.#spaces.delete(name);
    // The far ends of its veth pairs go with it.
    for (const space of this.#spaces.values()) {
      for (const [link, row] of space.links) if (row.kind === 'port' && row.peer.netns === name) unlink(space, link);
    }
  }

  open(name: string): NamespaceTables {
    this.#attempt(`open ${name}`);
    return Object.fromEntries(
      TABLE_ORDER.map((kind) => [kind, new MemoryTable({ kind, name, spaces: this.#spaces, fault: this.#fault })]),
    );
  }

  close(): void {
    // Nothing is held.
  }

  [Symbol.dispose](): void {
    this.#spaces.clear();
  }

  /** Everything it holds, for comparison: keys by namespace and kind, links as they are. */
  contents(): Record<string, Record<string, unknown>> {
    return Object.fromEntries(
      [...this.#spaces]
        .sort()
        .map(([name, space]) => [
          name,
          Object.fromEntries(TABLE_ORDER.map((kind) => [kind, Object.fromEntries([...space[kind]].sort())])),
        ]),
    );
  }

  #attempt(operation: string): void {
    const error = this.#fault(operation);
    if (error !== undefined) throw error;
  }
}

interface MemoryTableOptions<K extends TableName> {
  readonly kind: K;
  readonly name: string;
  readonly spaces: ReadonlyMap<string, Space>;
  readonly fault: Fault;
}

class MemoryTable<K extends TableName> implements Table<RowOf<K>> {
  readonly #options: MemoryTableOptions<K>;

  constructor(options: MemoryTableOptions<K>) {
    this.#options = options;
  }

  list(wanted: ReadonlyMap<string, RowOf<K>>): Map<string, RowOf<K>> {
    const { kind, name, fault } = this.#options;
    const error = fault(`list ${name} ${kind}`);
    if (error !== undefined) throw error;
    // `lo` is there from the start, and counts only where it is wanted.
    const rows = [...this.#rows()].filter(([key]) => kind !== 'links' || key !== 'lo' || wanted.has(key));
    return new Map(rows);
  }

  put(rows: readonly Put<RowOf<K>>[]): RowResult[] {
    return rows.map(({ key, value }) => this.#try(`put ${key}`, () => this.#put(key, value)));
  }

  drop(rows: readonly Drop<RowOf<K>>[]): RowResult[] {
    return rows.map(({ key, value }) =>
      this.#try(`drop ${key}`, () => {
        const space = this.#space();
        if (this.#options.kind !== 'links') this.#rows().delete(key);
        else if (!['peer', 'loopback'].includes((value as LinkRow).kind)) this.#unlink(space, key);
      }),
    );
  }

  same(a: RowOf<K>, b: RowOf<K>): boolean {
    return JSON.stringify(a) === JSON.stringify(b);
  }

  #put(key: string, value: RowOf<K>): void {
    const { kind, spaces, name } = this.#options;
    const space = this.#space();
    if (kind === 'links') {
      const row = value as LinkRow;
      if ('master' in row && !space.links.has(row.master)) throw new Error(`no master for ${key}`);
      if (row.kind === 'peer' && !space.links.has(key)) throw new Error(`no link ${key}`);
      if (row.kind === 'port') {
        const far = spaces.get(row.peer.netns);
        if (far === undefined) throw new Error(`no namespace ${row.peer.netns} for ${name} ${key}`);
        const before = space.links.get(key);
        const isThere = before?.kind === 'port' && JSON.stringify(before.peer) === JSON.stringify(row.peer);
        if (before !== undefined && !isThere) this.#unlink(space, key);
        if (!isThere) {
          if (far.links.has(row.peer.name)) throw new Error(`${row.peer.name} is taken in ${row.peer.netns}`);
          far.links.set(row.peer.name, { kind: 'found' });
        }
      }
    } else {
      const dev = kind === 'ports' ? key : (value as { readonly dev?: string }).dev;
      if (dev !== undefined && !space.links.has(dev)) throw new Error(`no link ${dev} for ${key}`);
    }
    this.#rows().set(key, value);
  }

  #unlink(space: Space, link: string): void {
    const row = space.links.get(link);
    if (row?.kind === 'port') {
      const far = this.#options.spaces.get(row.peer.netns);
      if (far !== undefined) unlink(far, row.peer.name);
    }
    unlink(space, link);
  }

  #try(what: string, act: () => void): RowResult {
    const { kind, name, fault } = this.#options;
    const error = fault(`${name} ${kind} ${what}`);
    if (error !== undefined) return error;
    try {
      act();
      return undefined;
    } catch (refusal) {
      return refusal instanceof Error ? refusal : new Error(String(refusal));
    }
  }

  #rows(): Map<string, RowOf<K>> {
    return this.#space()[this.#options.kind];
  }

  #space(): Space {
    const space = this.#options.spaces.get(this.#options.name);
    if (space === undefined) throw new Error(`no namespace ${this.#options.name}`);
    return space;
  }
}

/** Deletes a link, and with it what was on it. */
function unlink(space: Space, link: string): void {
  space.links.delete(link);
  space.ports.delete(link);
  for (const table of [space.addresses, space.neighbours, space.fdb, space.routes]) {
    for (const [key, row] of table) if (row.dev === link) table.delete(key);
  }
}
