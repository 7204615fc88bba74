/** Addresses of one namespace's links that carry Weft's protocol number. */
import { addressDel, addressPut } from '../kernel/netlink/address.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { dropAll, putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import { keyOf, WEFT_PROTOCOL, type AddressRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** Equivalent to `ip address show proto 87`; what others gave a sandbox is left alone. */
export class AddressesTable implements Table<AddressRow> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(): Map<string, AddressRow> {
    const rows = new Map<string, AddressRow>();
    for (const { index, ip, prefixLength, protocol } of this.#handle.addresses()) {
      const dev = this.#index.nameOf(index);
      if (protocol !== WEFT_PROTOCOL || dev === undefined) continue;
      const row = { dev, ip, prefixLength };
      rows.set(keyOf.address(row), row);
    }
    return rows;
  }

  /** All of an address is in its key. */
  same(): boolean {
    return true;
  }

  put(rows: readonly Put<AddressRow>[]): RowResult[] {
    return putAll(this.#handle, rows, ({ value: { dev, ip, prefixLength } }) =>
      addressPut({ index: this.#index.need(dev), ip, prefixLength, protocol: WEFT_PROTOCOL }),
    );
  }

  drop(rows: readonly Drop<AddressRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value: { dev, ip, prefixLength } }) =>
      addressDel({ index: this.#index.need(dev), ip, prefixLength }),
    );
  }
}
