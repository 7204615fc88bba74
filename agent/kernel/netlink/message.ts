/** Netlink messages: the header, acknowledgements with the kernel's own explanation, and what a request is to this code. */
import { KernelError } from '../kernel-error.js';
import { align, NetlinkFormatError, readAttributes, type AttributeWriter } from './attribute.js';

/** Bytes of `struct nlmsghdr`. */
const HEADER_LENGTH = 16;

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLMSG_OVERRUN = 4;

const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const NLMSGERR_ATTR_MSG = 1;

/** A message to the kernel, not yet numbered. Pure data but for `write`, which lays it into a batch without a copy. */
export interface Request {
  /** What an error is to say was tried: `link add vxlan0`. */
  readonly operation: string;
  /** RTM_... */
  readonly type: number;
  /** NLM_F_... besides those every request of its way of sending carries. */
  readonly flags: number;
  /** Writes the family's header and the attributes. */
  write(out: AttributeWriter): void;
}

/** Appends a request as one message. */
export function encodeRequest(out: AttributeWriter, request: Request, sequence: number, flags: number): void {
  const start = out.length;
  out
    .rawU32(0)
    .rawU32(request.type | ((NLM_F_REQUEST | request.flags | flags) << 16))
    .rawU32(sequence)
    .rawU32(0);
  request.write(out);
  out.patchU32(start, out.length - start);
}

/** Has the kernel answer the message at `start` also when it is done. */
export function askForAcknowledgement(out: AttributeWriter, start: number): void {
  out.buffer.writeUInt16LE(out.buffer.readUInt16LE(start + 6) | NLM_F_ACK, start + 6);
}

/** One message from the kernel; `body` (what follows the header) is a view of the receive buffer. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

/** The messages in a datagram. Throws NetlinkFormatError when a length leads outside it. */
export function readMessages(datagram: Buffer): Message[] {
  const messages: Message[] = [];
  let offset = 0;
  while (offset + HEADER_LENGTH <= datagram.length) {
    const length = datagram.readUInt32LE(offset);
    if (length < HEADER_LENGTH || offset + length > datagram.length) {
      throw new NetlinkFormatError(
        `message length ${String(length)} at ${String(offset)} of ${String(datagram.length)}`,
      );
    }
    messages.push({
      type: datagram.readUInt16LE(offset + 4),
      flags: datagram.readUInt16LE(offset + 6),
      sequence: datagram.readUInt32LE(offset + 8),
      body: datagram.subarray(offset + HEADER_LENGTH, offset + length),
    });
    // The last one's padding may be missing.
    offset += align(length);
  }
  return messages;
}

/** What an NLMSG_ERROR says of `operation`: undefined when it is an acknowledgement. Throws NetlinkFormatError. */
export function decodeError(operation: string, message: Message): KernelError | undefined {
  const { body, flags } = message;
  if (body.length < 4) throw new NetlinkFormatError('an error message without its number');
  const errno = -body.readInt32LE(0);
  if (errno === 0) return undefined;
  return new KernelError(operation, errno, extendedMessage(body, flags));
}

/** What an NLMSG_DONE says of a dump: undefined when it went well. */
export function decodeDone(operation: string, message: Message): KernelError | undefined {
  const { body, flags } = message;
  const errno = body.length < 4 ? 0 : -body.readInt32LE(0);
  if (errno <= 0) return undefined;
  const text = (flags & NLM_F_ACK_TLVS) === 0 ? undefined : readAttributes(body, 4).string(NLMSGERR_ATTR_MSG);
  return new KernelError(operation, errno, text);
}

function extendedMessage(body: Buffer, flags: number): string | undefined {
  if ((flags & NLM_F_ACK_TLVS) === 0 || body.length < 4 + HEADER_LENGTH) return undefined;
  // The refused message follows the number, whole unless the kernel was told to cap it; then the attributes.
  const refused = (flags & NLM_F_CAPPED) === 0 ? body.readUInt32LE(4) : HEADER_LENGTH;
  if (refused > body.length) throw new NetlinkFormatError(`an error about ${String(refused)} bytes`);
  return readAttributes(body, 4 + align(refused)).string(NLMSGERR_ATTR_MSG);
}
