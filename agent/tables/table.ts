/**
 * The seam to the kernel: one kind of object in one namespace. A table knows how to list what is Weft's, to put and to
 * drop; what should be there, and in which order, is decided above it.
 */

/** A row to put; `before` is what the kernel holds under the key, where it holds something else. */
export interface Put<V> {
  readonly key: string;
  readonly value: V;
  readonly before: V | undefined;
}

/** A row to take away. */
export interface Drop<V> {
  readonly key: string;
  readonly value: V;
}

/** The outcome of one row: undefined when the kernel has it so. */
export type RowResult = Error | undefined;

/** One kind of kernel object in one namespace. */
export interface Table<V> {
  /**
   * What the kernel holds of Weft's, by key. `wanted` tells the tables whose objects carry no mark (sysctls, a sandbox's
   * links) which ones to look at. Throws KernelError or NftablesError.
   */
  list(wanted: ReadonlyMap<string, V>): Map<string, V>;
  /** Makes each row so, in one batch; one result for each, none stopping another. Putting what is there is no error. */
  put(rows: readonly Put<V>[]): RowResult[];
  /** Takes each row away, likewise. Dropping what is not there is no error. */
  drop(rows: readonly Drop<V>[]): RowResult[];
  /** Whether two rows under one key need no change. */
  same(a: V, b: V): boolean;
}
