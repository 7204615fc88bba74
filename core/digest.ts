/**
 * What a host has of a network, in a few bytes: its things (endpoints and peers) fall into buckets by their ids, and each
 * bucket has a digest. Two sides whose digests of a bucket are equal have the same in it, so that only the others are
 * told. A digest is the sum of 64 bits for each thing, in whichever order they come; that two contents which nobody chose
 * for it have the same is as likely as one in 2^64.
 */
import type { EndpointId, HostId } from './ids.js';
import type { Endpoint, Peer } from './model.js';

/** A network's things, as of one revision. */
export interface Things {
  readonly endpoints: ReadonlyMap<EndpointId, Endpoint>;
  readonly peers: ReadonlyMap<HostId, Peer>;
}

/**
 * Of what is told of a thing, and of how it is hashed. Raised when either becomes another: what a controller of another
 * format told has the same ids and revisions, and is not the same.
 */
export const DIGEST_FORMAT = 1;

export interface DigestLimits {
  readonly networks: number;
  /** In all of them. */
  readonly buckets: number;
}

/** What one host says digests of at most: a megabyte, a quarter of what a message may carry. */
export const DIGEST_LIMITS: DigestLimits = { networks: 8_192, buckets: 65_536 };

/** Little-endian: 32 bits of one lane, 32 of the other. */
export const DIGEST_BYTES = 8;

/** Things of a bucket, at most, on the average: what is told again where one of them differs. */
const TOGETHER = 16;

/** A power of two: one bucket for at most 16 of so many things on the average. */
export function bucketCountFor(things: number): number {
  const wanted = things / TOGETHER;
  return wanted <= 1 ? 1 : 2 ** Math.ceil(Math.log2(wanted));
}

/** The digests of all buckets, one behind the other. `count` is a power of two. An endpoint is its id and revision. */
export function digestsOf({ endpoints, peers }: Things, count: number): Uint8Array {
  const sums = new Uint32Array(2 * count);
  const mixer = new Mixer();
  const add = (at: number): void => {
    // Sums of 32 bits: a Uint32Array keeps what is below 2^32.
    sums[at] = (sums[at] ?? 0) + mixer.one;
    sums[at + 1] = (sums[at + 1] ?? 0) + mixer.other;
  };
  for (const endpoint of endpoints.values()) {
    const at = 2 * mixer.bucketOf(endpoint.id, count);
    mixer.takeEndpoint(endpoint);
    add(at);
  }
  for (const peer of peers.values()) {
    const at = 2 * mixer.bucketOf(peer.hostId, count);
    mixer.takePeer(peer);
    add(at);
  }
  const bytes = new Uint8Array(DIGEST_BYTES * count);
  const view = new DataView(bytes.buffer);
  sums.forEach((sum, at) => {
    view.setUint32(4 * at, sum, true);
  });
  return bytes;
}

/** The buckets in which two sides differ, of the same number of buckets each. */
export function differingBuckets(one: Uint8Array, other: Uint8Array): readonly number[] {
  if (one.length !== other.length) throw new RangeError('digests of another number of buckets');
  const [a, b] = [viewOf(one), viewOf(other)];
  const differing: number[] = [];
  for (let at = 0; at < one.length; at += DIGEST_BYTES) {
    if (a.getUint32(at) !== b.getUint32(at) || a.getUint32(at + 4) !== b.getUint32(at + 4))
      differing.push(at / DIGEST_BYTES);
  }
  return differing;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Which of `count` buckets an id falls into. */
export function bucketing(count: number): (id: string) => number {
  const mixer = new Mixer();
  return (id) => mixer.bucketOf(id, count);
}

/** Odd numbers without a pattern: digits of pi, as hexadecimal. */
const [FIRST, SECOND, THIRD] = [0x243f6a89, 0x85a308d3, 0x13198a2f] as const;

/**
 * 64 bits in two lanes, since BigInts cost a hundred times as much. Each step is a Feistel network over a mixing function
 * of 32 bits, so what goes in differently, of one length, comes out differently, and every bit changes about half of all.
 */
class Mixer {
  one = 0;
  other = 0;

  /** The bucket of a UUID, and begins the hash of the thing that has it. */
  bucketOf(id: string, count: number): number {
    this.one = FIRST | 0;
    this.other = SECOND | 0;
    this.#take(wordOf(id, 0, 8), (wordOf(id, 9, 4) << 16) | wordOf(id, 14, 4));
    this.#take((wordOf(id, 19, 4) << 16) | wordOf(id, 24, 4), wordOf(id, 28, 8));
    return this.one & (count - 1);
  }

  takeEndpoint({ revision }: Endpoint): void {
    const number = Number(revision);
    this.#take(number | 0, (number / 2 ** 32) | 0);
  }

  takePeer({ vtep, number }: Peer): void {
    this.#take(number, vtep.length);
    for (let at = 0; at < vtep.length; at += 2) this.#take(vtep.charCodeAt(at), vtep.charCodeAt(at + 1) | 0);
  }

  #take(one: number, other: number): void {
    this.one ^= one;
    this.other ^= other;
    this.one ^= mixed(this.other + FIRST);
    this.other ^= mixed(this.one + SECOND);
    this.one ^= mixed(this.other + THIRD);
  }
}

/** Of 32 bits, one to one: MurmurHash3's last step. */
function mixed(word: number): number {
  let bits = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/** `length` hexadecimal digits in lower case, as a number of 32 bits. */
function wordOf(text: string, from: number, length: number): number {
  let word = 0;
  for (let at = from; at < from + length; at += 1) {
    const code = text.charCodeAt(at);
    // '0' to '9' are 0x30 to 0x39, 'a' to 'f' 0x61 to 0x66.
    word = (word << 4) | ((code & 15) + (code >> 6) * 9);
  }
  return word;
}
