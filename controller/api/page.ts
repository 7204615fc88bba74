/** Lists a page at a time, in the order of ids: the token is the last id of the page before, so it never goes stale. */
import { isUuid } from '../../core/ids.js';
import type { Checker } from './validate.js';

/** Things on a page whose size nobody named. */
export const PAGE_DEFAULT = 1_000;
const PAGE_MAX = 10_000;

export interface PageRequest {
  readonly size: number;
  /** Only what comes after this id; empty: from the beginning. */
  readonly after: string;
}

/** Reads `page_size` and `page_token`. */
export function readPage(check: Checker, request: { pageSize: number; pageToken: string }): PageRequest {
  const { pageSize, pageToken } = request;
  checkPageSize(check, pageSize);
  const after = Buffer.from(pageToken, 'base64url').toString();
  if (pageToken !== '' && !isUuid(after)) check.refuse('page_token', 'not a token of an earlier page');
  return { size: pageSize === 0 ? PAGE_DEFAULT : pageSize, after: pageToken === '' ? '' : after };
}

/** Refuses a `page_size` that nobody needs. */
export function checkPageSize(check: Checker, pageSize: number): void {
  if (pageSize > PAGE_MAX) check.refuse('page_size', `${String(pageSize)} is more than ${String(PAGE_MAX)}`);
}

/** The page, and the token of the next one; empty: this is the last. */
export function takePage<T extends { readonly id: string }>(
  items: Iterable<T>,
  { size, after }: PageRequest,
): { readonly items: readonly T[]; readonly nextPageToken: string } {
  const rest = [...items].filter(({ id }) => id > after).sort((a, b) => (a.id < b.id ? -1 : 1));
  const page = rest.slice(0, size);
  const last = page.at(-1);
  const nextPageToken = rest.length > size && last !== undefined ? Buffer.from(last.id).toString('base64url') : '';
  return { items: page, nextPageToken };
}
