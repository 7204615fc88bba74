/** Ethernet addresses as branded, canonical text (`02:1a:...`, lower case). */
import { randomFillSync } from 'node:crypto';

/** A unicast or multicast MAC in canonical text. Made only by the functions of this file. */
export type Mac = string & { readonly __brand: 'Mac' };

/** Every byte in hexadecimal. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The MAC in `text`, canonical; undefined when it is none. */
export function parseMac(text: string): Mac | undefined {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ? (text.toLowerCase() as Mac) : undefined;
}

/** The MAC's six bytes. */
export function macToBytes(mac: Mac): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

/** The MAC in six bytes. Throws RangeError for any other length. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`a MAC has 6 bytes, not ${String(bytes.length)}`);
  let text = '';
  for (const byte of bytes) text += `${text === '' ? '' : ':'}${HEX[byte] ?? ''}`;
  return text as Mac;
}

/** Whether an interface may own it: not multicast, not all zero. */
export function isUnicast(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00';
}

/** A new random, locally administered unicast MAC. Never derived from an address: a reused address must not inherit a stale path. */
export function randomMac(): Mac {
  if (used + 6 > POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  const bytes = POOL.subarray(used, used + 6);
  used += 6;
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return macFromBytes(bytes);
}

/** Randomness for the next MACs: asked for in bulk, as asking costs more than it brings. */
const POOL = Buffer.alloc(6 * 256);
let used = POOL.length;
