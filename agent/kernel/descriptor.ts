/** An open file descriptor with an owner. */
import { close } from './ffi.js';

/** Owns a file descriptor until disposed (closes it; twice is fine) or released (another owner closes it). */
export class Descriptor implements Disposable {
  #fd: number | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The number. Throws once it was closed or released. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error('the descriptor is closed');
    return this.#fd;
  }

  /** Gives the number away: to `dgram.bind({ fd })`, `net.listen({ fd })`. */
  release(): number {
    const { fd } = this;
    this.#fd = undefined;
    return fd;
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    // After close(2) the number is gone whatever it returned, so its result is of no use.
    close(this.#fd);
    this.#fd = undefined;
  }
}
