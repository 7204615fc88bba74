/**
 * One table and what the kernel is known to hold in it. Only what the kernel listed or acknowledged is remembered; after
 * a failure nothing is, and the table is listed again. So a change costs the messages it needs and no more.
 */
import { asError } from '../../core/errors.js';
import { plan } from '../../core/plan.js';
import type { LinkRow, NamespaceRows, RowOf, TableName } from '../tables/rows.js';
import type { RowResult, Table } from '../tables/table.js';

/** A row that could not be put or dropped, or a table that could not be listed. */
export interface Failure {
  readonly table: TableName;
  readonly key: string;
  readonly error: Error;
}

/** What putting or dropping one table's rows came to. */
export interface Outcome {
  readonly failures: readonly Failure[];
  /** Rows the kernel was asked to change. */
  readonly writes: number;
  /** Links that went, or had to make room: what was on them, and at their far ends, went with them. */
  readonly lost: readonly LinkRow[];
}

const NOTHING: Outcome = { failures: [], writes: 0, lost: [] };

/** A mirror of any kind. */
export interface AnyMirror {
  readonly kind: TableName;
  /** Puts what is missing or different. */
  put(rows: NamespaceRows): Outcome;
  /** Drops what is not wanted. */
  drop(rows: NamespaceRows): Outcome;
  /** Whether the kernel is known to hold a row under the key. */
  holds(key: string): boolean;
  /** From here on nothing is known. */
  forget(): void;
}

export class Mirror<K extends TableName> implements AnyMirror {
  readonly kind: K;
  readonly #table: Table<RowOf<K>>;
  #have: Map<string, RowOf<K>> | undefined;
  /** The rows that the kernel is known to hold, all of them and no others. */
  #settled: ReadonlyMap<string, RowOf<K>> | undefined;

  constructor(kind: K, table: Table<RowOf<K>>) {
    this.kind = kind;
    this.#table = table;
  }

  put(rows: NamespaceRows): Outcome {
    return this.#attempt(rows, (want, have) => {
      const steps = plan(want, have, (a, b) => this.#table.same(a, b)).put;
      if (steps.length === 0) return NOTHING;
      const puts = steps.map(([key, value]) => ({ key, value, before: have.get(key) }));
      const outcome = this.#settle(puts, this.#table.put(puts), ({ key, value }) => have.set(key, value));
      const remade = puts.flatMap(({ value, before }) => (before === undefined || isOnlySet(value) ? [] : before));
      return { ...outcome, lost: this.#links(remade) };
    });
  }

  drop(rows: NamespaceRows): Outcome {
    return this.#attempt(rows, (want, have) => {
      const drops = plan(want, have, (a, b) => this.#table.same(a, b)).drop.map(([key, value]) => ({ key, value }));
      const outcome =
        drops.length === 0 ? NOTHING : this.#settle(drops, this.#table.drop(drops), ({ key }) => have.delete(key));
      if (outcome.failures.length === 0) this.#settled = want;
      return { ...outcome, lost: this.#links(drops.map(({ value }) => value)) };
    });
  }

  holds(key: string): boolean {
    return this.#have?.has(key) ?? false;
  }

  forget(): void {
    this.#have = undefined;
    this.#settled = undefined;
  }

  #links(rows: readonly RowOf<K>[]): readonly LinkRow[] {
    return this.kind === 'links' ? (rows as readonly LinkRow[]) : [];
  }

  #attempt(
    rows: NamespaceRows,
    act: (want: ReadonlyMap<string, RowOf<K>>, have: Map<string, RowOf<K>>) => Outcome,
  ): Outcome {
    const want = rows[this.kind] as ReadonlyMap<string, RowOf<K>>;
    if (this.#settled === want) return NOTHING;
    this.#settled = undefined;
    try {
      this.#have ??= this.#table.list(want);
      return act(want, this.#have);
    } catch (error) {
      this.forget();
      return { failures: [{ table: this.kind, key: '', error: asError(error) }], writes: 0, lost: [] };
    }
  }

  #settle<R extends { readonly key: string }>(
    steps: readonly R[],
    results: readonly RowResult[],
    done: (step: R) => void,
  ): Outcome {
    const failures: Failure[] = [];
    steps.forEach((step, place) => {
      const error = results[place];
      if (error === undefined) done(step);
      else failures.push({ table: this.kind, key: step.key, error });
    });
    return { failures, writes: steps.length, lost: [] };
  }
}

/** Whether putting the row never makes a link anew. */
function isOnlySet(row: unknown): boolean {
  const { kind } = row as { readonly kind?: unknown };
  return kind === 'peer' || kind === 'loopback';
}
