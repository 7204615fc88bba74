/** DNS over TCP: every message behind its length in two bytes (RFC 1035, section 4.2.2). */

/** Puts the pieces that TCP delivers together to messages. Holds less than one message. */
export class FrameReader {
  #held = Buffer.alloc(0);

  /** The messages that `chunk` completed, in order. */
  push(chunk: Buffer): Buffer[] {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const messages: Buffer[] = [];
    while (rest.length >= 2) {
      const end = 2 + rest.readUInt16BE(0);
      if (rest.length < end) break;
      messages.push(rest.subarray(2, end));
      rest = rest.subarray(end);
    }
    // A copy, because a view of a few bytes would keep the whole chunk.
    this.#held = Buffer.from(rest);
    return messages;
  }
}

/** A message with its length before it. */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
