/** The kernel as the reconciler sees it: Weft's namespaces on this host, and the tables of each. */
import type { RowOf, TableName } from './rows.js';
import type { Table } from './table.js';

/** The tables of one namespace; kinds it can hold none of are absent. */
export type NamespaceTables = { readonly [K in TableName]?: Table<RowOf<K>> };

/** Weft's namespaces. Every method throws KernelError. */
export interface Kernel extends Disposable {
  /** Names of all namespaces that are Weft's by their name; `whole` is false for what a crash half way left. */
  list(): { readonly name: string; readonly whole: boolean }[];
  create(name: string): void;
  /** Its processes keep the namespace itself until they end; its name is free at once. */
  delete(name: string): void;
  /** The tables of an existing namespace; the same ones until `close` or `delete`. */
  open(name: string): NamespaceTables;
  /** Forgets what was opened, so that the next `open` finds the namespace that has the name then. */
  close(name: string): void;
}
