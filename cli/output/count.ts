/** Counts as people read them. Pure. */

/** The wire's largest int64: a controller counts no further. */
const LARGEST = 2n ** 63n - 1n;

/** A count; `>9.2e18` where the wire could not hold it: a /64 has more addresses than that. */
export function countWord(count: bigint): string {
  return count >= LARGEST ? '>9.2e18' : String(count);
}
