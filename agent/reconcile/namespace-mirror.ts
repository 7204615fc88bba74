/** All tables of one namespace, brought to what is wanted in the order in which they depend on each other. */
import type { NamespaceTables } from '../tables/kernel.js';
import { TABLE_ORDER, type NamespaceRows, type TableName } from '../tables/rows.js';
import { Mirror, type AnyMirror, type Failure } from './mirror.js';

export class NamespaceMirror {
  readonly #mirrors: readonly AnyMirror[];
  /** Row changes asked of the kernel so far. */
  writes = 0;

  constructor(tables: NamespaceTables) {
    this.#mirrors = TABLE_ORDER.flatMap((kind) => mirrorOf(kind, tables));
  }

  /** Puts what is missing or different, kind after kind; no failure stops the rest. */
  put(rows: NamespaceRows): Failure[] {
    const failures: Failure[] = [];
    for (const mirror of this.#mirrors) {
      const outcome = mirror.put(rows);
      this.writes += outcome.writes;
      failures.push(...outcome.failures);
      if (outcome.replaced) this.#forgetAllBut(mirror);
    }
    return failures;
  }

  /** Drops what is not wanted, in the opposite order. */
  drop(rows: NamespaceRows): Failure[] {
    const failures: Failure[] = [];
    for (const mirror of [...this.#mirrors].reverse()) {
      const outcome = mirror.drop(rows);
      this.writes += outcome.writes;
      failures.push(...outcome.failures);
    }
    return failures;
  }

  /** Whether the kernel is known to hold that row. */
  holds(table: TableName, key: string): boolean {
    return this.#mirrors.find(({ kind }) => kind === table)?.holds(key) ?? false;
  }

  #forgetAllBut(kept: AnyMirror): void {
    for (const mirror of this.#mirrors) if (mirror !== kept) mirror.forget();
  }
}

function mirrorOf<K extends TableName>(kind: K, tables: NamespaceTables): AnyMirror[] {
  const table = tables[kind];
  return table === undefined ? [] : [new Mirror(kind, table)];
}
