/**
 * A map with a few edits costs what was edited, not what it holds: an agent folds each change into a network of perhaps
 * thousands of endpoints, and whoever holds the map from before goes on seeing that one.
 */

/** What becomes of keys: another value, or undefined where the key goes. */
export type Edits<K, V> = ReadonlyMap<K, V | undefined>;

/** Smaller ones are copied: that is as quick, and what comes out is quicker to read. */
const SMALL = 32;

/**
 * Pure: `map` with the edits. `map` itself where there are none. New keys come last, a key that is there already keeps
 * its place.
 */
export function withEdits<K, V>(map: ReadonlyMap<K, V>, edits: Edits<K, V>): ReadonlyMap<K, V> {
  if (edits.size === 0) return map;
  const edited = map instanceof EditedMap ? (map as EditedMap<K, V>) : undefined;
  const base = edited?.base ?? map;
  const all = new Map<K, V | undefined>(edited?.edits);
  for (const [key, value] of edits) {
    if (value === undefined && !base.has(key)) all.delete(key);
    else all.set(key, value);
  }
  // So that a change copies about as much as the root of the size, whether it makes the map anew or only adds to the
  // edits of those before.
  return base.size < SMALL || all.size ** 2 > 4 * base.size ? copyOf(base, all) : new EditedMap(base, all);
}

function copyOf<K, V>(base: ReadonlyMap<K, V>, edits: Edits<K, V>): Map<K, V> {
  const copy = new Map(base);
  for (const [key, value] of edits) {
    if (value === undefined) copy.delete(key);
    else copy.set(key, value);
  }
  return copy;
}

/** `base` as its edits leave it. Of the edits, those without a value are of keys that `base` has. */
class EditedMap<K, V> implements ReadonlyMap<K, V> {
  readonly size: number;

  constructor(
    readonly base: ReadonlyMap<K, V>,
    readonly edits: Edits<K, V>,
  ) {
    let { size } = base;
    for (const [key, value] of edits) size += value === undefined ? -1 : base.has(key) ? 0 : 1;
    this.size = size;
  }

  get(key: K): V | undefined {
    const edited = this.edits.get(key);
    return edited !== undefined || this.edits.has(key) ? edited : this.base.get(key);
  }

  has(key: K): boolean {
    return this.edits.has(key) ? this.edits.get(key) !== undefined : this.base.has(key);
  }

  *entries(): MapIterator<[K, V]> {
    for (const entry of this.base) {
      if (!this.edits.has(entry[0])) {
        yield entry;
        continue;
      }
      const value = this.edits.get(entry[0]);
      if (value !== undefined) yield [entry[0], value];
    }
    for (const [key, value] of this.edits) if (value !== undefined && !this.base.has(key)) yield [key, value];
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  /** Not by way of `entries`: it is what agents do most, and a generator within a generator costs as much again. */
  *values(): MapIterator<V> {
    for (const [key, value] of this.base) {
      const now = this.edits.has(key) ? this.edits.get(key) : value;
      if (now !== undefined) yield now;
    }
    for (const [key, value] of this.edits) if (value !== undefined && !this.base.has(key)) yield value;
  }

  forEach(call: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) call(value, key, this);
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }
}
