/** Points of the cluster's life as people read them: a revision gives the order, the time is for display. Pure. */

/** `2026-01-02 03:04:05Z`: seconds are enough for people, and UTC is the same for all of them. */
export function timeWord(time: Date | undefined): string {
  return time === undefined || Number.isNaN(time.getTime())
    ? '-'
    : time
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z$/, 'Z');
}

/** `2026-01-02 03:04:05Z (45)`. */
export function momentCell(time: Date | undefined, revision: bigint): string {
  return `${timeWord(time)} (${String(revision)})`;
}
