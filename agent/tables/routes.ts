/** Routes of a namespace's main table that carry Weft's protocol number. */
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { RT_TABLE_MAIN, routeDel, routePut, type Route } from '../kernel/netlink/route.js';
import { dropAll, putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import { keyOf, WEFT_PROTOCOL, type RouteRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** Equivalent to `ip route show proto 87`. */
export class RoutesTable implements Table<RouteRow> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(): Map<string, RouteRow> {
    const rows = new Map<string, RouteRow>();
    for (const { dst, gateway, oif, table } of this.#handle.routes(WEFT_PROTOCOL)) {
      const dev = this.#index.nameOf(oif);
      if (table !== RT_TABLE_MAIN || dev === undefined) continue;
      const row = { dst, gateway, dev };
      rows.set(keyOf.route(row), row);
    }
    return rows;
  }

  same(a: RouteRow, b: RouteRow): boolean {
    return a.gateway === b.gateway && a.dev === b.dev;
  }

  put(rows: readonly Put<RouteRow>[]): RowResult[] {
    return putAll(this.#handle, rows, ({ value }) => routePut(this.#route(value)));
  }

  drop(rows: readonly Drop<RouteRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value }) => routeDel(this.#route(value)));
  }

  #route({ dst, gateway, dev }: RouteRow): Route {
    return { dst, gateway, oif: this.#index.need(dev), protocol: WEFT_PROTOCOL };
  }
}
