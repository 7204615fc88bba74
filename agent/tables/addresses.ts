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
const RT_TABLE_LOCAL = 255;
/** The kernel makes an IPv6 address's local route a little later than the address, by a work queue: how long to wait for it. */
const LOCAL_ROUTE_MS = 50;

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
    const steps = rows.map(({ value }, place): Step => ({ place, request: () => this.#put(value), drops: false }));
    const isMoved = (place: number): boolean => {
      const row = rows[place];
      return row?.before !== undefined && familyOf(row.value.ip) === 6;
    };
    this.#run(
      results,
      steps.filter(({ place }) => !isMoved(place)),
    );
    this.#run(
      results,
      rows.flatMap(({ before }, place): Step[] => {
        const isOver = before === undefined || isMoved(place) || results[place] !== undefined;
        return isOver ? [] : [{ place, request: () => this.#drop(before), drops: true }];
      }),
    );
    rows.forEach(({ value, before }, place) => {
      if (before !== undefined && isMoved(place)) this.#replace(before, value, { results, place });
    });
    return results;
  }

  drop(rows: readonly Drop<AddressRow>[]): RowResult[] {
    return dropAll(this.#handle, rows, ({ value }) => this.#drop(value));
  }

  #replace(before: AddressRow, value: AddressRow, { results, place }: { results: RowResult[]; place: number }): void {
    const { dev, ip, prefixLength } = value;
    const there: AddressRow = { dev: 'lo', ip, prefixLength: ADDRESS_BITS[6] };
    const route = (): Route => ({
      dst: networkOf(`${ip}/${String(prefixLength)}`) ?? fail(value),
      oif: this.#index.need(dev),
      metric: STAND_IN_METRIC,
      protocol: WEFT_PROTOCOL,
    });
    // In a network's namespace it is down: what is forwarded there needs no address of the bridge.
    const hasStandIn = this.#handle.link('lo')?.up === true;
    const put = (request: () => Request): Step => ({ place, request, drops: false });
    const drop = (request: () => Request): Step => ({ place, request, drops: true });
    if (hasStandIn) {
      this.#run(results, [put(() => this.#put(there)), put(() => routePut(route()))]);
      this.#awaitLocal(there);
    }
    this.#run(results, [drop(() => this.#drop(before)), put(() => this.#put(value))]);
    if (hasStandIn) {
      this.#awaitLocal(value);
      this.#run(results, [drop(() => routeDel(route())), drop(() => this.#drop(there))]);
    }
  }

  /** Returns when the kernel takes packets for the address by that link, or it has had time enough. */
  #awaitLocal({ dev, ip }: AddressRow): void {
    const dst = `${ip}/${String(ADDRESS_BITS[6])}`;
    const oif = this.#index.need(dev);
    const until = performance.now() + LOCAL_ROUTE_MS;
    const isThere = (): boolean =>
      this.#handle.routes().some((route) => route.table === RT_TABLE_LOCAL && route.dst === dst && route.oif === oif);
    while (!isThere() && performance.now() < until) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
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
