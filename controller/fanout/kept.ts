/** Encodings of networks that are kept for the next host that needs the same, within a bound. */
import type { NetworkId } from '../../core/ids.js';

/** Messages to be sent one right after the other. */
export type Parts = readonly Uint8Array[];

/** Each is kept until its network is touched, or room is needed: then the one used longest ago goes first. */
export class Kept {
  readonly #all = new Map<string, { readonly id: NetworkId; readonly parts: Parts }>();
  /** What is kept of each network. */
  readonly #keys = new Map<NetworkId, Set<string>>();
  readonly #bytes: number;
  #used = 0;

  constructor({ bytes }: { readonly bytes: number }) {
    this.#bytes = bytes;
  }

  /** What `encode` made when it was called with the same `key`, or makes now. */
  of(id: NetworkId, key: string, encode: () => Parts): Parts {
    const whole = `${id} ${key}`;
    const kept = this.#all.get(whole);
    const parts = kept?.parts ?? encode();
    // To the end: the first of the map is the one to go.
    this.#all.delete(whole);
    this.#all.set(whole, { id, parts });
    if (kept !== undefined) return parts;
    const keys = this.#keys.get(id);
    if (keys === undefined) this.#keys.set(id, new Set([whole]));
    else keys.add(whole);
    this.#used += bytesOf(whole, parts);
    for (const oldest of this.#all.keys()) {
      if (this.#used <= this.#bytes) break;
      this.#drop(oldest);
    }
    return parts;
  }

  /** Forgets what a revision has made untrue. */
  touched(id: NetworkId): void {
    for (const key of this.#keys.get(id) ?? []) this.#drop(key);
  }

  #drop(key: string): void {
    const kept = this.#all.get(key);
    if (kept === undefined) return;
    this.#all.delete(key);
    this.#used -= bytesOf(key, kept.parts);
    const keys = this.#keys.get(kept.id);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(kept.id);
  }
}

function bytesOf(key: string, parts: Parts): number {
  return parts.reduce((bytes, part) => bytes + part.length, key.length);
}
