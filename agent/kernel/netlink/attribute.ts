/**
 * Netlink's encoding: integers in the host's byte order, and attributes (length, type, value, padding to four bytes)
 * that may nest. One growable buffer is written in place, since a batch holds hundreds of messages.
 */
import { familyOf, ipFromBytes, ipToBytes, type IpAddress } from '../../../core/address.js';
import { macFromBytes, type Mac } from '../../../core/mac.js';

/** The kernel sent bytes that are no netlink message: too short, or a length that leads outside. */
export class NetlinkFormatError extends Error {
  override readonly name = 'NetlinkFormatError';
}

const NLA_HEADER = 4;
const NLA_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;
const MAX_ATTRIBUTE = 0xffff;

/** `length` rounded up to netlink's alignment of four bytes. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

/**
 * Writes messages and their attributes one after another. Whole words go through a second view of the same memory, one
 * store each: everything netlink aligns begins at a multiple of four.
 */
export class AttributeWriter {
  #bytes: Buffer;
  #words: Uint32Array;
  #length = 0;

  constructor(capacity = 4096) {
    const memory = new ArrayBuffer(align(capacity));
    this.#bytes = Buffer.from(memory);
    this.#words = new Uint32Array(memory);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** The buffer written to; only its first `length` bytes count, and only until the next write. */
  get buffer(): Buffer {
    return this.#bytes;
  }

  /** Starts again, with the same buffer. */
  reset(): void {
    this.#length = 0;
  }

  /** Room for `size` bytes at the end; their offset. */
  #grow(size: number): number {
    const offset = this.#length;
    const needed = offset + size;
    if (needed > this.#bytes.length) this.#enlarge(needed);
    this.#length = needed;
    return offset;
  }

  #enlarge(needed: number): void {
    const memory = new ArrayBuffer(align(Math.max(needed, this.#bytes.length * 2)));
    const larger = Buffer.from(memory);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    this.#words = new Uint32Array(memory);
  }

  /** One byte, as it is. */
  rawU8(value: number): this {
    const offset = this.#grow(1);
    this.#bytes.writeUInt8(value, offset);
    return this;
  }

  /** Two bytes, host order, as they are. */
  rawU16(value: number): this {
    const offset = this.#grow(2);
    this.#bytes.writeUInt16LE(value, offset);
    return this;
  }

  /** Four bytes, host order, as they are; what was written before must be a multiple of four. */
  rawU32(value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`${String(value)} does not fit 32 bits`);
    const offset = this.#grow(4); // before the view is looked up: growing replaces it
    this.#words[offset >> 2] = value;
    return this;
  }

  /** Overwrites four bytes written before. */
  patchU32(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset);
  }

  /** Header and padding of an attribute of `size` bytes; the offset of its value. */
  #attribute(type: number, size: number): number {
    const length = NLA_HEADER + size;
    if (length > MAX_ATTRIBUTE) throw new RangeError(`attribute ${String(type)} of ${String(size)} bytes is too long`);
    const padded = align(length);
    const offset = this.#grow(padded);
    this.#words[offset >> 2] = length | (type << 16);
    // The last word first: its end may be padding, which must not carry what an earlier batch left there.
    if (padded !== length) this.#words[(offset + padded - 4) >> 2] = 0;
    return offset + NLA_HEADER;
  }

  u8(type: number, value: number): this {
    const offset = this.#attribute(type, 1);
    this.#bytes.writeUInt8(value, offset);
    return this;
  }

  u16(type: number, value: number): this {
    const offset = this.#attribute(type, 2);
    this.#bytes.writeUInt16LE(value, offset);
    return this;
  }

  /** Two bytes in network order, as ports are. */
  u16be(type: number, value: number): this {
    const offset = this.#attribute(type, 2);
    this.#bytes.writeUInt16BE(value, offset);
    return this;
  }

  u32(type: number, value: number): this {
    if (value >>> 0 !== value) throw new RangeError(`${String(value)} does not fit 32 bits`);
    const offset = this.#attribute(type, 4);
    this.#words[offset >> 2] = value;
    return this;
  }

  bytes(type: number, value: Uint8Array): this {
    const offset = this.#attribute(type, value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  /** Text with the NUL at its end that the kernel expects of names. */
  string(type: number, text: string): this {
    if (text.includes('\0')) throw new RangeError('text for the kernel must not contain NUL');
    const size = Buffer.byteLength(text);
    const offset = this.#attribute(type, size + 1);
    this.#bytes.write(text, offset);
    this.#bytes[offset + size] = 0;
    return this;
  }

  /** Six bytes. Parsed in place: forwarding entries come in hundreds of thousands. */
  mac(type: number, mac: Mac): this {
    const offset = this.#attribute(type, 6);
    for (let index = 0; index < 6; index++) {
      const at = index * 3;
      this.#bytes[offset + index] = (hexDigit(mac.charCodeAt(at)) << 4) | hexDigit(mac.charCodeAt(at + 1));
    }
    return this;
  }

  /** Four or sixteen bytes in network order. */
  ip(type: number, ip: IpAddress): this {
    if (familyOf(ip) === 6) return this.bytes(type, ipToBytes(ip));
    const offset = this.#attribute(type, 4);
    let part = 0;
    let index = 0;
    for (let at = 0; at < ip.length; at++) {
      const code = ip.charCodeAt(at);
      if (code === 46 /* . */) {
        this.#bytes[offset + index++] = part;
        part = 0;
      } else {
        part = part * 10 + (code - 48);
      }
    }
    this.#bytes[offset + index] = part;
    return this;
  }

  /** An attribute that holds attributes. */
  nested(type: number, fill: (writer: this) => void): this {
    const header = this.#attribute(type | NLA_F_NESTED, 0) - NLA_HEADER;
    fill(this);
    const length = this.#length - header;
    if (length > MAX_ATTRIBUTE)
      throw new RangeError(`attribute ${String(type)} of ${String(length)} bytes is too long`);
    this.#bytes.writeUInt16LE(length, header);
    return this;
  }
}

/** Value of a lower-case hexadecimal digit's character code. */
function hexDigit(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}

/** The attributes in `bytes`, by type, as views; of a type given twice the last counts, as in the kernel. Throws NetlinkFormatError. */
export function readAttributes(bytes: Buffer, start = 0): Attributes {
  const found = new Map<number, Buffer>();
  let offset = start;
  while (offset + NLA_HEADER <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < NLA_HEADER || offset + length > bytes.length) {
      throw new NetlinkFormatError(
        `attribute length ${String(length)} at ${String(offset)} of ${String(bytes.length)}`,
      );
    }
    found.set(bytes.readUInt16LE(offset + 2) & NLA_TYPE_MASK, bytes.subarray(offset + NLA_HEADER, offset + length));
    offset += align(length);
  }
  return new Attributes(found);
}

/** The attributes of one message or nest. Every reader answers undefined for an absent one and throws NetlinkFormatError for a wrong size. */
export class Attributes {
  readonly #found: ReadonlyMap<number, Buffer>;

  constructor(found: ReadonlyMap<number, Buffer>) {
    this.#found = found;
  }

  has(type: number): boolean {
    return this.#found.has(type);
  }

  /** The types present. */
  types(): number[] {
    return [...this.#found.keys()];
  }

  bytes(type: number): Buffer | undefined {
    return this.#found.get(type);
  }

  #sized(type: number, size: number): Buffer | undefined {
    const value = this.#found.get(type);
    if (value !== undefined && value.length < size) {
      throw new NetlinkFormatError(`attribute ${String(type)} has ${String(value.length)} bytes, not ${String(size)}`);
    }
    return value;
  }

  u8(type: number): number | undefined {
    return this.#sized(type, 1)?.readUInt8();
  }

  u16be(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16BE();
  }

  u32(type: number): number | undefined {
    return this.#sized(type, 4)?.readUInt32LE();
  }

  s32(type: number): number | undefined {
    return this.#sized(type, 4)?.readInt32LE();
  }

  string(type: number): string | undefined {
    const value = this.#found.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return value.toString('utf8', 0, end === -1 ? value.length : end);
  }

  /** An Ethernet address; undefined also for hardware addresses of other lengths (a tunnel's, for example). */
  mac(type: number): Mac | undefined {
    const value = this.#found.get(type);
    return value?.length === 6 ? macFromBytes(value) : undefined;
  }

  ip(type: number): IpAddress | undefined {
    const value = this.#found.get(type);
    if (value === undefined) return undefined;
    if (value.length !== 4 && value.length !== 16) {
      throw new NetlinkFormatError(`attribute ${String(type)} has ${String(value.length)} bytes, not an address's`);
    }
    return ipFromBytes(value);
  }

  nested(type: number): Attributes | undefined {
    const value = this.#found.get(type);
    return value === undefined ? undefined : readAttributes(value);
  }
}
