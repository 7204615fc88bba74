/** Addresses of one namespace's links that carry Weft's protocol number. */
import { ADDRESS_BITS, familyOf, networkOf } from '../../core/address.js';
import { addressDel, addressPut } from '../kernel/netlink/address.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import type { Request } from '../kernel/netlink/message.js';
import { routeDel, routePut, type Route } from '../kernel/netlink/route.js';
import { dropAll, putAll, unlessGone } from './batch.js';
import type { LinkIndex } from './link-index.js';
import { keyOf, WEFT_PROTOCOL, type AddressRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** One message to the kernel, for the row at that place. */
interface Step {
  readonly place: number;
  readonly request: () => Request;
  /** It takes something away, and it is well if that is gone already. */
  readonly drops: boolean;
}

/** Wins over the kernel's own route to a subnet (256), and goes again at once. */
const STAND_IN_METRIC = 1;

/** Equivalent to `ip address show proto 87`; what others gave a sandbox is left alone. */
export class AddressesTable implements Table<AddressRow> {
  readonly #handle: NetlinkHandle;
  readonly #index: LinkIndex;

  constructor(handle: NetlinkHandle, index: LinkIndex) {
    this.#handle = handle;
    this.#index = index;
  }

  list(wanted: ReadonlyMap<string, AddressRow>): Map<string, AddressRow> {
    const rows = new Map<string, AddressRow>();
    for (const { index, ip, prefixLength, protocol } of this.#handle.addresses()) {
      const dev = this.#index.nameOf(index);
      if (protocol !== WEFT_PROTOCOL || dev === undefined) continue;
      const row = { dev, ip, prefixLength };
      const key = keyOf.address(row);
      const want = wanted.get(key);
      // A change of length that was interrupted leaves an IPv4 address twice: the one to go is what is there.
      if (rows.has(key) && want !== undefined && this.same(row, want)) continue;
      rows.set(key, row);
    }
    return rows;
  }

  same(a: AddressRow, b: AddressRow): boolean {
    return a.prefixLength === b.prefixLength;
  }

  /**
   * An address whose prefix length changes is in use all the while. IPv4 has both for a moment, the new one first. To
   * IPv6 an address is one whatever its length, and the length is not to be changed: while it goes and comes back, the
   * loopback interface has it (packets are still for this host, and still leave with it) and a route stands in for the
   * subnet's own.
   */
  put(rows: readonly Put<AddressRow>[]): RowResult[] {
    const results: RowResult[] = rows.map(() => undefined);
    this.#run(
      results,
      rows.flatMap(({ value, before }, place) => {
        const put: Step = { place, request: () => this.#put(value), drops: false };
        return before !== undefined && familyOf(value.ip) === 6 ? this.#replacing(before, value, put) : [put];
      }),
    );
    this.#run(
      results,
      rows.flatMap(({ value, before }, place): Step[] => {
        const isOver = before === undefined || familyOf(value.ip) === 6 || results[place] !== undefined;
        return isOver ? [] : [{ place, request: () => this.#drop(before), drops: true }];
      }),
    );
    return results;
  }

  drop(rows: readonly Drop<AddressRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value }) => this.#drop(value));
  }

  #replacing(before: AddressRow, value: AddressRow, put: Step): readonly Step[] {
    const { place } = put;
    const { dev, ip, prefixLength } = value;
    const there: AddressRow = { dev: 'lo', ip, prefixLength: ADDRESS_BITS[6] };
    const route = (): Route => ({
      dst: networkOf(`${ip}/${String(prefixLength)}`) ?? fail(value),
      oif: this.#index.need(dev),
      metric: STAND_IN_METRIC,
      protocol: WEFT_PROTOCOL,
    });
    return [
      { place, request: () => this.#put(there), drops: false },
      { place, request: () => routePut(route()), drops: false },
      { place, request: () => this.#drop(before), drops: true },
      put,
      { place, request: () => routeDel(route()), drops: true },
      { place, request: () => this.#drop(there), drops: true },
    ];
  }

  #run(results: RowResult[], steps: readonly Step[]): void {
    putAll(this.#handle, steps, ({ request }) => request()).forEach((error, at) => {
      const step = steps[at];
      if (step !== undefined) results[step.place] ??= step.drops ? unlessGone(error) : error;
    });
  }

  #put({ dev, ip, prefixLength }: AddressRow): Request {
    return addressPut({ index: this.#index.need(dev), ip, prefixLength, protocol: WEFT_PROTOCOL });
  }

  #drop({ dev, ip, prefixLength }: AddressRow): Request {
    return addressDel({ index: this.#index.need(dev), ip, prefixLength });
  }
}

function fail({ ip, prefixLength }: AddressRow): never {
  throw new RangeError(`/${String(prefixLength)} is too long for ${ip}`);
}
