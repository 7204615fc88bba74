/** Static forwarding entries in a network's namespace: the bridge's own (`master`) and the VXLAN device's (`self`). */
import { fdbDel, fdbPut, type FdbEntry } from '../kernel/netlink/fdb.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { dropAll, putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import { keyOf, type FdbRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** Equivalent to `bridge fdb show`, static entries only. */
export class FdbTable implements Table<FdbRow> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(): Map<string, FdbRow> {
    const rows = new Map<string, FdbRow>();
    for (const { table, index, mac, dst, state } of this.#handle.fdb()) {
      const dev = this.#index.nameOf(index);
      if (state !== 'static' || dev === undefined) continue;
      // Links without a VXLAN device's table list their multicast filters as `self`, without a destination.
      if (table === 'self' && dst === undefined) continue;
      const row: FdbRow = dst === undefined ? { table: 'master', dev, mac } : { table: 'self', dev, mac, dst };
      rows.set(keyOf.fdb(row), row);
    }
    return rows;
  }

  same(a: FdbRow, b: FdbRow): boolean {
    return a.dev === b.dev && (a.table === 'self' ? a.dst : undefined) === (b.table === 'self' ? b.dst : undefined);
  }

  put(rows: readonly Put<FdbRow>[]): RowResult[] {
    return putAll(this.#handle, rows, ({ value }) => fdbPut(this.#entry(value)));
  }

  drop(rows: readonly Drop<FdbRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value }) => fdbDel(this.#entry(value)));
  }

  #entry(row: FdbRow): FdbEntry {
    const index = this.#index.need(row.dev);
    return row.table === 'self'
      ? { table: 'self', index, mac: row.mac, dst: row.dst }
      : { table: 'master', index, mac: row.mac };
  }
}
