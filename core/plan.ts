/** The one diff: what to put and what to drop so that what is becomes what should be. */

/** The outcome of `plan`. */
export interface Plan<K, V> {
  readonly put: readonly (readonly [K, V])[];
  readonly drop: readonly (readonly [K, V])[];
}

/** Pure. Diffs by key and value. The caller puts before it drops, so that nothing that stays is ever missing. */
export function plan<K, V>(
  want: ReadonlyMap<K, V>,
  have: ReadonlyMap<K, V>,
  same: (a: V, b: V) => boolean,
): Plan<K, V> {
  const put = [...want].filter(([key, value]) => {
    const held = have.get(key);
    return held === undefined || !same(held, value);
  });
  return { put, drop: [...have].filter(([key]) => !want.has(key)) };
}

/** Whether a plan would change nothing. */
export function isDone(steps: Plan<unknown, unknown>): boolean {
  return steps.put.length === 0 && steps.drop.length === 0;
}
