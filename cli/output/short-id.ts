/** Ids for people. */

const SHOWN_DIGITS = 12;

/** An id as tables show it: its first 12 hex digits, by which the kernel's namespaces and devices are named too. */
export function shortId(id: string, digits = SHOWN_DIGITS): string {
  return id.replaceAll('-', '').slice(0, digits);
}
