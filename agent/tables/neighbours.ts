/** Permanent neighbours in a network's namespace, which is Weft's alone. */
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { neighbourDel, neighbourPut } from '../kernel/netlink/neighbour.js';
import { dropAll, putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import { keyOf, type NeighbourRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** Equivalent to `ip neighbour show nud permanent`. */
export class NeighboursTable implements Table<NeighbourRow> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(): Map<string, NeighbourRow> {
    const rows = new Map<string, NeighbourRow>();
    for (const { index, ip, mac, permanent } of this.#handle.neighbours()) {
      const dev = this.#index.nameOf(index);
      if (!permanent || mac === undefined || dev === undefined) continue;
      const row = { dev, ip, mac };
      rows.set(keyOf.neighbour(row), row);
    }
    return rows;
  }

  same(a: NeighbourRow, b: NeighbourRow): boolean {
    return a.mac === b.mac;
  }

  put(rows: readonly Put<NeighbourRow>[]): RowResult[] {
    return putAll(this.#handle, rows, ({ value: { dev, ip, mac } }) =>
      neighbourPut({ index: this.#index.need(dev), ip, mac }),
    );
  }

  drop(rows: readonly Drop<NeighbourRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value: { dev, ip } }) => neighbourDel({ index: this.#index.need(dev), ip }));
  }
}
