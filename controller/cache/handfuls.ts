/**
 * Groups of very few, most of one: as a sandbox has endpoints. A map for each would take more memory than what is in it,
 * and more time to make than all else about a new endpoint.
 */
export class Handfuls<Group, Item extends { readonly id: string }> {
  /** One is kept bare, more in a list that is never changed. */
  readonly #groups = new Map<Group, Item | readonly Item[]>();

  /** Everything in a group, as it is now. */
  of(group: Group): readonly Item[] {
    const held = this.#groups.get(group);
    return held === undefined ? [] : isList(held) ? held : [held];
  }

  /** Puts an item in, in place of the one of the same id. */
  set(group: Group, item: Item): void {
    const held = this.#groups.get(group);
    this.#groups.set(group, held === undefined ? item : pack([...without(held, item.id), item]));
  }

  delete(group: Group, id: Item['id']): void {
    const held = this.#groups.get(group);
    if (held === undefined) return;
    const rest = without(held, id);
    if (rest.length === 0) this.#groups.delete(group);
    else this.#groups.set(group, pack(rest));
  }
}

function pack<Item>(items: readonly Item[]): Item | readonly Item[] {
  const [first] = items;
  return items.length === 1 && first !== undefined ? first : items;
}

function without<Item extends { readonly id: string }>(held: Item | readonly Item[], id: Item['id']): readonly Item[] {
  return (isList(held) ? held : [held]).filter((item) => item.id !== id);
}

function isList<Item extends { readonly id: string }>(held: Item | readonly Item[]): held is readonly Item[] {
  return Array.isArray(held);
}
