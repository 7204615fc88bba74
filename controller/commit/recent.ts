/**
 * A map that forgets what was written longest ago: at least the last `keep` entries are there, and at most twice as
 * many. Nothing is moved or searched for when it is full, so that its cost does not depend on its size.
 */
export class Recent<Value> {
  readonly #keep: number;
  #young = new Map<string, Value>();
  #old = new Map<string, Value>();

  constructor(keep: number) {
    this.#keep = keep;
  }

  get(key: string): Value | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  set(key: string, value: Value): void {
    this.#young.set(key, value);
    if (this.#young.size < this.#keep) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }
}
