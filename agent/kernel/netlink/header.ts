/** The fixed part of a message's body. */
import { NetlinkFormatError } from './attribute.js';

/** Checks that the body holds the family's header of `size` bytes, and returns it. Throws NetlinkFormatError. */
export function headerOf(body: Buffer, size: number): Buffer {
  if (body.length < size)
    throw new NetlinkFormatError(`a body of ${String(body.length)} bytes, less than its header of ${String(size)}`);
  return body.subarray(0, size);
}
