/** The few statistics that benchmarks quote. */

/** The value below which `share` (0 to 1) of the samples lie, by nearest rank. Throws RangeError without samples. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
  if (value === undefined) throw new RangeError('no samples');
  return value;
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** The median of the ratios of pairs that were measured one right after the other: drift of the machine cancels out. */
export function medianRatio(pairs: readonly (readonly [ours: number, peers: number])[]): number {
  return median(pairs.map(([ours, peers]) => ours / peers));
}
