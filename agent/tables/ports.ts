/** Flags of a bridge's ports. */
import { bridgePortSet, type BridgePort } from '../kernel/netlink/bridge-port.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** Every port in the namespace, by its link's name. Equivalent to `bridge link`. */
export class PortsTable implements Table<BridgePort> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(): Map<string, BridgePort> {
    const rows = new Map<string, BridgePort>();
    for (const { name, port } of this.#handle.links()) if (port !== undefined) rows.set(name, port);
    return rows;
  }

  same(a: BridgePort, b: BridgePort): boolean {
    return (Object.keys(a) as (keyof BridgePort)[]).every((flag) => a[flag] === b[flag]);
  }

  put(rows: readonly Put<BridgePort>[]): RowResult[] {
    return putAll(this.#handle, rows, ({ key, value }) => bridgePortSet(this.#index.need(key), value));
  }

  /** Nothing: the flags go with the link. */
  drop(rows: readonly Drop<BridgePort>[]): RowResult[] {
    return rows.map(() => undefined);
  }
}
