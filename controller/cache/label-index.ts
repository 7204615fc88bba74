/** Who has which label: so that a list with a label filter looks at those that fit, and not at all there are. */
import type { Labels } from '../../core/model.js';
import { Grouped } from './grouped.js';

/** A label to look for; without a value, whatever it is. */
export interface LabelWish {
  readonly key: string;
  readonly value: string | undefined;
}

/** Items by their labels, as they are now. */
export interface Labelled<Item> {
  /** Everything with this label; it changes with the index. */
  with(wish: LabelWish): ReadonlyMap<string, Item>;
}

export class LabelIndex<Item extends { readonly id: string; readonly labels: Labels }> implements Labelled<Item> {
  readonly #byKey = new Grouped<string, string, Item>();
  /** Under `KEY=VALUE`: no key has an equals sign in it. */
  readonly #byPair = new Grouped<string, string, Item>();

  with({ key, value }: LabelWish): ReadonlyMap<string, Item> {
    return value === undefined ? this.#byKey.of(key) : this.#byPair.of(`${key}=${value}`);
  }

  /** Takes in that an item has changed from `before` to `after`; undefined: it was not, or is not any more. */
  change(before: Item | undefined, after: Item | undefined): void {
    for (const [key, value] of Object.entries(before?.labels ?? {})) {
      this.#byKey.delete(key, before?.id ?? '');
      this.#byPair.delete(`${key}=${value}`, before?.id ?? '');
    }
    if (after === undefined) return;
    for (const [key, value] of Object.entries(after.labels)) {
      this.#byKey.set(key, after.id, after);
      this.#byPair.set(`${key}=${value}`, after.id, after);
    }
  }
}
