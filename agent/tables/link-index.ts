/** Names and indexes of one namespace's links: rows speak of names, which last; the kernel's messages of indexes. */
import { Errno } from '../kernel/errno.js';
import { KernelError } from '../kernel/kernel-error.js';

/** Kept by the links table, read by the others. */
export class LinkIndex {
  readonly #indexes = new Map<string, number>();

  /** Takes the place of all that was known. */
  replace(links: Iterable<{ readonly name: string; readonly index: number }>): void {
    this.#indexes.clear();
    for (const { name, index } of links) this.#indexes.set(name, index);
  }

  put(name: string, index: number): void {
    this.#indexes.set(name, index);
  }

  drop(name: string): void {
    this.#indexes.delete(name);
  }

  /** The link's index; undefined when no such link is known. */
  find(name: string): number | undefined {
    return this.#indexes.get(name);
  }

  /** The link's index. Throws KernelError ENODEV. */
  need(name: string): number {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new KernelError(`find link ${name}`, Errno.ENODEV);
    return index;
  }

  /** The name of the link with that index; undefined for one that is not known. */
  nameOf(index: number): string | undefined {
    for (const [name, known] of this.#indexes) if (known === index) return name;
    return undefined;
  }
}
