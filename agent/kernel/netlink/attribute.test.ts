import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipFromNumber, ipToBytes, type Family } from '../../../core/address.js';
import { macFromBytes, macToBytes } from '../../../core/mac.js';
import { AttributeWriter, NetlinkFormatError, readAttributes } from './attribute.js';
import { decodeAddress } from './address.js';
import { decodeFdbEntry } from './fdb.js';
import { decodeLink } from './link.js';
import { decodeDone, decodeError, readMessages, type Message } from './message.js';
import { decodeNeighbour } from './neighbour.js';
import { decodeRoute } from './route.js';

const written = (out: AttributeWriter): Buffer => Buffer.from(out.buffer.subarray(0, out.length));

describe('AttributeWriter', () => {
  it('pads every attribute to four bytes, and grows', () => {
    const out = new AttributeWriter(4);
    out.u8(1, 0xaa).string(3, 'eth0').u16be(15, 4789);
    expect(written(out).toString('hex')).toBe('05000100aa000000' + '090003006574683000000000' + '06000f0012b50000');
  });

  it('writes no stale bytes into padding', () => {
    const out = new AttributeWriter(64);
    out.bytes(1, Buffer.alloc(32, 0xff)).reset();
    out.u8(1, 1);
    expect(written(out).toString('hex')).toBe('0500010001000000');
  });

  it('marks nests and measures them', () => {
    const out = new AttributeWriter();
    out.nested(18, () => out.string(1, 'veth').nested(2, () => undefined));
    expect(written(out).toString('hex')).toBe('14001280' + '090001007665746800000000' + '04000280');
  });

  it('writes addresses and MACs as core does', () => {
    const family = fc.constantFrom<Family>(4, 6);
    fc.assert(
      fc.property(family, fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }), (version, number) => {
        const address = ipFromNumber(version, version === 4 ? number : (0xfd00n << 112n) | number);
        const out = new AttributeWriter();
        out.ip(1, address);
        expect(written(out).subarray(4).equals(ipToBytes(address))).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        const out = new AttributeWriter();
        out.mac(1, macFromBytes(bytes));
        expect(
          written(out)
            .subarray(4, 10)
            .equals(macToBytes(macFromBytes(bytes))),
        ).toBe(true);
      }),
    );
  });

  it('refuses what does not fit', () => {
    const out = new AttributeWriter();
    expect(() => out.bytes(1, Buffer.alloc(65532))).toThrow(RangeError);
    expect(() => out.nested(1, () => out.bytes(1, Buffer.alloc(40000)).bytes(2, Buffer.alloc(40000)))).toThrow(
      RangeError,
    );
    expect(() => out.string(3, 'a\0b')).toThrow(RangeError);
    expect(() => out.u32(1, 2 ** 40)).toThrow(RangeError);
    expect(() => out.u8(1, -1)).toThrow(RangeError);
  });
});

describe('readAttributes', () => {
  it('reads what was written', () => {
    const out = new AttributeWriter();
    out
      .u8(1, 7)
      .u32(2, 4_000_000_000)
      .u16be(3, 53)
      .string(4, 'näme')
      .nested(5, () => out.u32(1, 1));
    const attributes = readAttributes(written(out));
    expect(attributes.u8(1)).toBe(7);
    expect(attributes.u32(2)).toBe(4_000_000_000);
    expect(attributes.s32(2)).toBe(-294_967_296);
    expect(attributes.u16be(3)).toBe(53);
    expect(attributes.string(4)).toBe('näme');
    expect(attributes.nested(5)?.u32(1)).toBe(1);
    expect(attributes.u32(9)).toBeUndefined();
    expect(attributes.has(9)).toBe(false);
  });

  it('refuses values of the wrong size', () => {
    const out = new AttributeWriter();
    out.u8(1, 7).bytes(2, Buffer.alloc(5));
    const attributes = readAttributes(written(out));
    expect(() => attributes.u32(1)).toThrow(NetlinkFormatError);
    expect(() => attributes.ip(2)).toThrow(NetlinkFormatError);
    expect(attributes.mac(2)).toBeUndefined();
  });
});

/** Bytes with lengths that are often plausible, so that a reader gets past the first check. */
const malformed = fc.oneof(
  fc.uint8Array({ maxLength: 256 }),
  fc
    .array(
      fc.record({
        length: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 0xffff })),
        type: fc.integer({ min: 0, max: 0xffff }),
        value: fc.uint8Array({ maxLength: 40 }),
      }),
      { maxLength: 12 },
    )
    .map((parts) =>
      Buffer.concat(
        parts.map(({ length, type, value }) => {
          const header = Buffer.alloc(4);
          header.writeUInt16LE(length, 0);
          header.writeUInt16LE(type, 2);
          return Buffer.concat([header, value, Buffer.alloc(-value.length & 3)]);
        }),
      ),
    ),
);

describe('malformed answers', () => {
  const decoders = { decodeLink, decodeAddress, decodeRoute, decodeNeighbour, decodeFdbEntry };
  for (const [name, decode] of Object.entries(decoders)) {
    it(`${name} ends with a value or a NetlinkFormatError`, () => {
      fc.assert(
        fc.property(malformed, fc.constantFrom(2, 7, 10), (bytes, family) => {
          const body = Buffer.concat([Buffer.from([family, 0, 0, 0]), Buffer.alloc(12), bytes]);
          for (const attempt of [Buffer.from(bytes), body]) {
            try {
              decode(attempt);
            } catch (error) {
              expect(error).toBeInstanceOf(NetlinkFormatError);
            }
          }
        }),
        { numRuns: 500 },
      );
    });
  }

  it('messages and errors end with a value or a NetlinkFormatError', () => {
    fc.assert(
      fc.property(malformed, fc.integer({ min: 0, max: 0xffff }), (bytes, flags) => {
        const message: Message = { type: 2, flags, sequence: 1, body: Buffer.from(bytes) };
        for (const attempt of [
          () => readMessages(Buffer.from(bytes)),
          () => decodeError('test', message),
          () => decodeDone('test', message),
        ]) {
          try {
            attempt();
          } catch (error) {
            expect(error).toBeInstanceOf(NetlinkFormatError);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
