/** All tables of one namespace, brought to what is wanted in the order in which they depend on each other. */
import type { NamespaceTables } from '../tables/kernel.js';
import { TABLE_ORDER, type LinkRow, type NamespaceRows, type RowOf, type TableName } from '../tables/rows.js';
import type { Table } from '../tables/table.js';
import { Mirror, type AnyMirror, type Failure, type Outcome } from './mirror.js';

export class NamespaceMirror {
  readonly #mirrors: readonly AnyMirror[];

  constructor(tables: NamespaceTables) {
    this.#mirrors = mirrorsOf(tables);
  }

  /** Puts what is missing or different, kind after kind; no failure stops the rest. */
  put(rows: NamespaceRows): Outcome {
    return this.#each(this.#mirrors, (mirror) => {
      const outcome = mirror.put(rows);
      if (outcome.lost.length > 0) for (const other of this.#mirrors) if (other !== mirror) other.forget();
      return outcome;
    });
  }

  /** Drops what is not wanted, in the opposite order. */
  drop(rows: NamespaceRows): Outcome {
    return this.#each([...this.#mirrors].reverse(), (mirror) => mirror.drop(rows));
  }

  /** From here on nothing is known of the namespace's tables. */
  forget(): void {
    for (const mirror of this.#mirrors) mirror.forget();
  }

  #each(mirrors: readonly AnyMirror[], act: (mirror: AnyMirror) => Outcome): Outcome {
    const failures: Failure[] = [];
    const lost: LinkRow[] = [];
    let writes = 0;
    for (const mirror of mirrors) {
      const outcome = act(mirror);
      writes += outcome.writes;
      failures.push(...outcome.failures);
      lost.push(...outcome.lost);
    }
    return { failures, writes, lost };
  }

  /** Whether the kernel is known to hold that row. */
  holds(table: TableName, key: string): boolean {
    return this.#mirrors.find(({ kind }) => kind === table)?.holds(key) ?? false;
  }
}

function mirrorsOf(tables: NamespaceTables): AnyMirror[] {
  const mirror = <K extends TableName>(kind: K, table: Table<RowOf<K>> | undefined): AnyMirror[] =>
    table === undefined ? [] : [new Mirror(kind, table)];
  return TABLE_ORDER.flatMap((kind) => mirror(kind, tables[kind] as Table<RowOf<typeof kind>> | undefined));
}
