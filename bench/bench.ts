/** What a benchmark is: it measures Weft beside a peer in the same run, and says how the two compare. */

/** Numbers by name; the unit is in the name (`fdbPerSecond`, `p50Ms`). */
export type Figures = Readonly<Record<string, number>>;

export interface BenchResult {
  readonly name: string;
  readonly metrics: Figures;
  /** Weft against a peer: more than 1 is better than the peer where the metric is a rate, worse where it is a time. */
  readonly ratios: Figures;
}

export interface Bench {
  readonly name: string;
  /** What is measured beside what, in a line. */
  readonly about: string;
  /** `say` shows progress. Cleans up after itself, also on failure. */
  readonly run: (say: (text: string) => void) => Promise<BenchResult>;
}
