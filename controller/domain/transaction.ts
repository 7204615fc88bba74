/** A transaction in the making, in the words of the rules. */
import type { Compare, Put, Transaction } from '../store/store.js';
import { MAX_OPERATIONS } from '../store/transaction.js';

export class Draft {
  readonly #compares: Compare[] = [];
  readonly #puts: Put[] = [];
  readonly #deletes: string[] = [];
  readonly #deletePrefixes: string[] = [];

  /** A new object: nothing may stand under its key yet. */
  create(put: Put): this {
    this.#compares.push({ kind: 'absent', key: put.key });
    return this.put(put);
  }

  /** A new version of an object that must be as it was seen. */
  replace(put: Put, seen: bigint): this {
    return this.unchanged(put.key, seen).put(put);
  }

  /** A new version of an object that must be as it was seen, or must not be there where it was not (undefined). */
  replaceSeen(put: Put, seen: bigint | undefined): this {
    return seen === undefined ? this.create(put) : this.replace(put, seen);
  }

  /** An object that must go, and be as it was seen. */
  remove(key: string, seen: bigint): this {
    return this.unchanged(key, seen).release(key);
  }

  unchanged(key: string, modRevision: bigint): this {
    this.#compares.push({ kind: 'unchanged', key, modRevision });
    return this;
  }

  notNewer(prefix: string, revision: bigint): this {
    this.#compares.push({ kind: 'notNewer', prefix, revision });
    return this;
  }

  /** What a part of the rule has to add. */
  also(add: (draft: this) => void): this {
    add(this);
    return this;
  }

  compare(compare: Compare): this {
    this.#compares.push(compare);
    return this;
  }

  absent(key: string): this {
    this.#compares.push({ kind: 'absent', key });
    return this;
  }

  emptyPrefix(prefix: string): this {
    this.#compares.push({ kind: 'emptyPrefix', prefix });
    return this;
  }

  /** A guard: its existence is the invariant, its value the id of who holds it, so that a conflict can name it. */
  claim(key: string, owner: string): this {
    return this.create({ key, value: Buffer.from(owner) });
  }

  /** A guard that makes what compares it serial: `seen` is its mod_revision, 0 when it is not there. */
  serialize(key: string, seen: bigint, writer: string): this {
    return this.replace({ key, value: Buffer.from(writer) }, seen);
  }

  put(put: Put): this {
    this.#puts.push(put);
    return this;
  }

  release(key: string): this {
    this.#deletes.push(key);
    return this;
  }

  releasePrefix(prefix: string): this {
    this.#deletePrefixes.push(prefix);
    return this;
  }

  /**
   * Throws RangeError for what only some stores take: the embedded etcd is told to take more for the sake of groups, and
   * a rule that relied on that would be refused by any other.
   */
  build(): Transaction {
    const operations = this.#puts.length + this.#deletes.length + this.#deletePrefixes.length;
    if (this.#compares.length > MAX_OPERATIONS || operations > MAX_OPERATIONS) {
      throw new RangeError(
        `a rule asks for ${String(this.#compares.length)} compares and ${String(operations)} operations at once, ` +
          `and ${String(MAX_OPERATIONS)} are taken everywhere`,
      );
    }
    return {
      compares: this.#compares,
      puts: this.#puts,
      deletes: this.#deletes,
      ...(this.#deletePrefixes.length === 0 ? {} : { deletePrefixes: this.#deletePrefixes }),
    };
  }
}
