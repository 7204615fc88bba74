/**
 * The one map key that generated code loses without a word: `message.labels['__proto__'] = 'x'` calls a setter of
 * JavaScript's that takes no text, and nothing is stored. A request must not come out as less than it says.
 */
import type { Violation } from '../../core/errors.js';

const KEY = '__proto__';

/** How a map's entry has it on the wire: field 1, nine bytes. */
const ON_THE_WIRE = Buffer.from(`\n\t${KEY}`);

/** As long, in no request that anybody means, and a key like others. */
const STAND_IN = '\u0000proto\u0000\u0000\u0000';

/** Where a request has it, with the field's path; undefined: nowhere, as good as always. Throws what decoding throws. */
export function lostKey(bytes: Buffer, decode: (bytes: Buffer) => unknown): Violation | undefined {
  if (!bytes.includes(ON_THE_WIRE)) return undefined;
  const copy = Buffer.from(bytes);
  for (let at = copy.indexOf(ON_THE_WIRE); at >= 0; at = copy.indexOf(ON_THE_WIRE, at)) {
    copy.write(STAND_IN, at + ON_THE_WIRE.length - KEY.length, 'latin1');
  }
  const field = pathOf(decode(copy), '');
  return field === undefined ? undefined : { field, description: `"${KEY}" cannot be a key` };
}

/** The path of the first key that is the stand-in. */
function pathOf(value: unknown, path: string): string | undefined {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    if (key === STAND_IN) return `${path}["${KEY}"]`;
    const step = Array.isArray(value) ? `[${key}]` : `${path === '' ? '' : '.'}${inProto(key)}`;
    const found = pathOf(inner, path + step);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `auxAddresses` as the .proto has it. */
function inProto(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
