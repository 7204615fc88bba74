/** A map of maps that keeps no empty ones. */
export class Grouped<Group, Key, Value> {
  readonly #groups = new Map<Group, Map<Key, Value>>();
  readonly #empty: ReadonlyMap<Key, Value> = new Map();

  /** Everything in a group; the map changes with it. */
  of(group: Group): ReadonlyMap<Key, Value> {
    return this.#groups.get(group) ?? this.#empty;
  }

  /** Everything in every group. */
  *values(): Iterable<Value> {
    for (const members of this.#groups.values()) yield* members.values();
  }

  set(group: Group, key: Key, value: Value): void {
    let members = this.#groups.get(group);
    if (members === undefined) {
      members = new Map<Key, Value>();
      this.#groups.set(group, members);
    }
    members.set(key, value);
  }

  delete(group: Group, key: Key): void {
    const members = this.#groups.get(group);
    if (members?.delete(key) === true && members.size === 0) this.#groups.delete(group);
  }
}
