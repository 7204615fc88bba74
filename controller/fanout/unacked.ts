/** The revisions that concerned a host and that it has not acknowledged yet. */

/** Ranges kept apart; past that the newest are merged. */
const RANGES = 4_096;

interface Range {
  readonly lo: bigint;
  hi: bigint;
}

export class Unacked {
  readonly #ranges: Range[] = [];

  /**
   * A revision that concerns the host; never smaller than the one before. `from`: everything since then may concern it.
   */
  add(revision: bigint, from: bigint = revision): void {
    const last = this.#ranges.at(-1);
    if (last !== undefined && last.hi >= revision) return;
    // A merged range counts as unacknowledged from its first revision until its last is: never converged too early.
    if (last !== undefined && this.#ranges.length >= RANGES) last.hi = revision;
    else this.#ranges.push({ lo: from, hi: revision });
  }

  /** Everything up to `revision` is in the host's kernel. */
  acknowledge(revision: bigint): void {
    const open = this.#ranges.findIndex(({ hi }) => hi > revision);
    this.#ranges.splice(0, open === -1 ? this.#ranges.length : open);
  }

  /** The first revision that is still open; undefined: none is. */
  get first(): bigint | undefined {
    return this.#ranges[0]?.lo;
  }
}
