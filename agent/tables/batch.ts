/** Rows to requests and back: one batch, one result for each row. */
import { KernelError } from '../kernel/kernel-error.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import type { Request } from '../kernel/netlink/message.js';
import type { RowResult } from './table.js';

/** What the kernel answers when what should go is gone already: the object, or the link it was on. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'EADDRNOTAVAIL']);

/** Sends one request for each row. A row whose request cannot be made (its link is missing) fails alone. */
export function putAll<R>(handle: NetlinkHandle, rows: readonly R[], toRequest: (row: R) => Request): RowResult[] {
  const results: RowResult[] = new Array<RowResult>(rows.length).fill(undefined);
  const requests: Request[] = [];
  const places: number[] = [];
  rows.forEach((row, place) => {
    try {
      requests.push(toRequest(row));
      places.push(place);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      results[place] = error;
    }
  });
  if (requests.length > 0) {
    handle.request(requests).forEach((result, index) => {
      const place = places[index];
      if (place !== undefined) results[place] = result;
    });
  }
  return results;
}

/** The same for rows to be dropped: what is gone already is done. */
export function dropAll<R>(handle: NetlinkHandle, rows: readonly R[], toRequest: (row: R) => Request): RowResult[] {
  return putAll(handle, rows, toRequest).map(unlessGone);
}

/** The error, unless it says that the thing to be dropped is not there. */
export function unlessGone(error: RowResult): RowResult {
  return error instanceof KernelError && GONE.has(error.code) ? undefined : error;
}
