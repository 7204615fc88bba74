/**
 * Which addresses of one family are taken, for searches that must not look at each: in blocks of 256, of which those
 * that are full are passed over as one. A network of 100,000 endpoints has 400 of them.
 */

const BITS = 8n;
const BLOCK = 256;
const WORDS = BLOCK / 32;
const FULL = 0xffff_ffff;

interface Block {
  /** A bit each. */
  readonly words: Uint32Array;
  count: number;
}

/** To search: the numbers that are not taken. */
export interface Occupied {
  /** The first that is free from `first` to `last`, both included. */
  nextFree(first: bigint, last: bigint): bigint | undefined;
  /** How many are taken from `first` to `last`, both included. */
  countIn(first: bigint, last: bigint): number;
}

export class AddressSet implements Occupied {
  readonly #blocks = new Map<bigint, Block>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many blocks anything is kept of. */
  get blocks(): number {
    return this.#blocks.size;
  }

  add(number: bigint): void {
    const at = number >> BITS;
    let block = this.#blocks.get(at);
    if (block === undefined) {
      block = { words: new Uint32Array(WORDS), count: 0 };
      this.#blocks.set(at, block);
    }
    const { word, bit } = placeOf(number);
    const before = block.words[word] ?? 0;
    if ((before & bit) !== 0) return;
    block.words[word] = before | bit;
    block.count += 1;
    this.#size += 1;
  }

  delete(number: bigint): void {
    const at = number >> BITS;
    const block = this.#blocks.get(at);
    if (block === undefined) return;
    const { word, bit } = placeOf(number);
    const before = block.words[word] ?? 0;
    if ((before & bit) === 0) return;
    block.words[word] = before & ~bit;
    block.count -= 1;
    this.#size -= 1;
    if (block.count === 0) this.#blocks.delete(at);
  }

  nextFree(first: bigint, last: bigint): bigint | undefined {
    let candidate = first;
    while (candidate <= last) {
      const at = candidate >> BITS;
      const block = this.#blocks.get(at);
      if (block === undefined) return candidate;
      const offset = freeIn(block, Number(candidate & 0xffn));
      if (offset !== undefined) {
        const found = (at << BITS) | BigInt(offset);
        return found <= last ? found : undefined;
      }
      candidate = (at + 1n) << BITS;
    }
    return undefined;
  }

  countIn(first: bigint, last: bigint): number {
    let count = 0;
    for (const [at, block] of this.#blocks) {
      const start = at << BITS;
      const end = start | BigInt(BLOCK - 1);
      if (end < first || start > last) continue;
      const whole = start >= first && end <= last;
      count += whole
        ? block.count
        : takenIn(block, start < first ? Number(first - start) : 0, end > last ? Number(last - start) : BLOCK - 1);
    }
    return count;
  }
}

/** How many places of a block are taken between two offsets, both included. */
function takenIn({ words }: Block, from: number, to: number): number {
  let count = 0;
  for (let offset = from; offset <= to; offset += 1) {
    if (((words[offset >>> 5] ?? 0) & (1 << (offset & 31))) !== 0) count += 1;
  }
  return count;
}

function placeOf(number: bigint): { readonly word: number; readonly bit: number } {
  const offset = Number(number & 0xffn);
  return { word: offset >>> 5, bit: 1 << (offset & 31) };
}

/** The first free place of a block from `offset` on. */
function freeIn({ words, count }: Block, offset: number): number | undefined {
  if (count === BLOCK) return undefined;
  for (let word = offset >>> 5; word < WORDS; word += 1) {
    // What comes before the offset counts as taken.
    const before = word === offset >>> 5 ? (1 << (offset & 31)) - 1 : 0;
    const taken = ((words[word] ?? FULL) | before) >>> 0;
    if (taken !== FULL) return word * 32 + 31 - Math.clz32(~taken & (taken + 1));
  }
  return undefined;
}
