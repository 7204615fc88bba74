/** Reading what ping(8) of iputils says. */

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Mean round trip in milliseconds; undefined when nothing came back. */
  readonly meanMs: number | undefined;
}

/** Pure. Throws when `output` is not ping's. */
export function parsePing(output: string): PingResult {
  const counts = /(\d+) packets transmitted, (\d+) received/.exec(output);
  if (counts?.[1] === undefined || counts[2] === undefined) throw new Error(`this is not ping's output: ${output}`);
  const mean = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  return {
    sent: Number(counts[1]),
    received: Number(counts[2]),
    meanMs: mean === undefined ? undefined : Number(mean),
  };
}
