/**
 * A route-netlink socket in one network namespace. The kernel answers requests while it takes them, inside send(2), so
 * a batch is sent and its answers read in one synchronous go; nothing ever waits.
 */
import { endianness } from 'node:os';
import { step } from '../../../core/fault.js';
import { Descriptor } from '../descriptor.js';
import { Errno } from '../errno.js';
import { bind, recvDontWait, send, setsockoptInt, socket } from '../ffi.js';
import { checked, KernelError } from '../kernel-error.js';
import { inNetns } from '../namespace.js';
import { AttributeWriter, NetlinkFormatError } from './attribute.js';
import {
  askForAcknowledgement,
  decodeDone,
  decodeError,
  encodeRequest,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_OVERRUN,
  readMessages,
  type Message,
  type Request,
} from './message.js';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** Requests to one send: should all be refused, the answers must fit the receive buffer, about 1 KiB each as the kernel counts. */
const BATCH_MESSAGES = 256;
/** Bytes to one send, well below the send buffer. */
const BATCH_BYTES = 128 * 1024;
const SEND_BUFFER = 1024 * 1024;
const RECEIVE_BUFFER = 4 * 1024 * 1024;
/** The kernel fills at most 32 KiB per datagram of a dump. */
const DATAGRAM = 64 * 1024;
/** A table that changes during ten dumps in a row is changing all the time; the caller decides then. */
const DUMP_ATTEMPTS = 10;

/** What carries datagrams to the kernel and back; a seam for the failures a kernel shows only rarely. */
export interface Transport extends Disposable {
  /** Sends the first `length` bytes: how many went, or the negated error number. */
  send(data: Buffer, length: number): number;
  /** Receives one datagram without waiting: its whole length, or the negated error number. */
  receive(into: Buffer): number;
}

/** The outcome of one request: undefined when the kernel did it. */
export type Result = KernelError | undefined;

/** Which namespace to open something in: the caller's own when `netns` is absent. */
export interface NetnsOptions {
  /** Path of the namespace: `/run/netns/name`. */
  readonly netns?: string | undefined;
}

/** A route-netlink descriptor in the namespace, with the options every one of ours has. Throws KernelError. */
export function openRouteSocket({ netns }: NetnsOptions, receiveBuffer: number): Descriptor {
  if (endianness() !== 'LE') throw new Error('only little-endian machines are supported');
  const open = (): number => checked('open netlink socket', socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  const descriptor = new Descriptor(netns === undefined ? open() : inNetns(netns, open));
  try {
    const set = (level: number, name: number, value: number): number =>
      checked('set netlink socket option', setsockoptInt(descriptor.fd, level, name, value));
    set(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER);
    set(SOL_SOCKET, SO_RCVBUFFORCE, receiveBuffer);
    set(SOL_NETLINK, NETLINK_EXT_ACK, 1); // the kernel's own words in an error
    set(SOL_NETLINK, NETLINK_CAP_ACK, 1); // without the request copied behind them
    set(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1); // filters of a dump are obeyed, or refused
    const address = Buffer.alloc(12); // struct sockaddr_nl: the kernel chooses the port
    address.writeUInt16LE(AF_NETLINK);
    checked('bind netlink socket', bind(descriptor.fd, address));
    return descriptor;
  } catch (error) {
    descriptor[Symbol.dispose]();
    throw error;
  }
}

/** Requests and dumps in one namespace. Not for notifications: see `subscribe`. */
export class NetlinkSocket implements Disposable {
  readonly #transport: Transport;
  readonly #out = new AttributeWriter(BATCH_BYTES);
  readonly #in = Buffer.alloc(DATAGRAM);
  #sequence = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Opens a socket that belongs to the namespace for life. Throws KernelError: EPERM without CAP_NET_ADMIN. */
  static open(options: NetnsOptions = {}): NetlinkSocket {
    const descriptor = openRouteSocket(options, RECEIVE_BUFFER);
    return new NetlinkSocket({
      send: (data, length) => send(descriptor.fd, data, length),
      receive: (into) => recvDontWait(descriptor.fd, into),
      [Symbol.dispose]: () => {
        descriptor[Symbol.dispose]();
      },
    });
  }

  /**
   * Sends requests that change something, many to a system call, and returns one result for each, in order. A refused
   * one does not stop those behind it. Equivalent to `ip -force -batch`.
   *
   * Only the last of a send asks for an acknowledgement: the kernel takes requests in order and answers a refused one
   * in any case, so that one answer says that all before it were taken. It makes twice the entries a second.
   */
  request(requests: readonly Request[]): Result[] {
    const results: Result[] = [];
    let next = 0;
    while (next < requests.length) {
      const first = next;
      const sequence = this.#sequence + 1;
      this.#out.reset();
      let last: number;
      do {
        last = this.#out.length;
        const request = requests[next++];
        if (request === undefined) break;
        encodeRequest(this.#out, request, this.#nextSequence(), 0);
      } while (next < requests.length && next - first < BATCH_MESSAGES && this.#out.length < BATCH_BYTES);
      askForAcknowledgement(this.#out, last);
      results.push(...this.#exchange(requests.slice(first, next), sequence));
      step('netlink');
    }
    return results;
  }

  /** Sends one request that changes something. Throws its KernelError. */
  do(request: Request): void {
    const [error] = this.request([request]);
    if (error !== undefined) throw error;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  #exchange(requests: readonly Request[], firstSequence: number): Result[] {
    this.#send(requests[0]?.operation ?? 'request');
    const results = new Array<Result>(requests.length).fill(undefined);
    const answered = new Set<number>();
    let lost: number | undefined;
    while (!answered.has(requests.length - 1)) {
      const received = this.#transport.receive(this.#in);
      if (received === -Errno.EINTR) continue;
      if (received === -Errno.ENOBUFS) {
        lost = Errno.ENOBUFS; // an answer found no room, perhaps a refusal; what did arrive is still to be read
        continue;
      }
      if (received < 0) {
        lost ??= -received;
        break;
      }
      for (const message of this.#messages(received)) {
        const index = (message.sequence - firstSequence) >>> 0;
        const request = requests[index];
        if (message.type !== NLMSG_ERROR || request === undefined) continue;
        answered.add(index);
        results[index] = decodeError(request.operation, message);
      }
    }
    if (lost === undefined) return results;
    // Silence is consent only when no answer was lost.
    const errno = lost;
    return results.map((result, index) =>
      answered.has(index)
        ? result
        : new KernelError(requests[index]?.operation ?? 'request', errno, 'the kernel gave no answer'),
    );
  }

  #send(operation: string): void {
    const { buffer, length } = this.#out;
    const sent = checked(operation, this.#transport.send(buffer, length));
    if (sent !== length) throw new NetlinkFormatError(`only ${String(sent)} of ${String(length)} bytes were sent`);
  }

  #messages(received: number): Message[] {
    if (received > this.#in.length) throw new NetlinkFormatError(`a datagram of ${String(received)} bytes was cut`);
    return readMessages(this.#in.subarray(0, received));
  }

  /**
   * Lists a whole table: each message's body through `decode`, which must not keep it (undefined is left out). A list
   * that the kernel says changed under way, or whose parts were lost, is read again. Throws KernelError: EINTR or
   * ENOBUFS when that did not help, or the kernel's refusal.
   */
  dump<T>(request: Request, decode: (body: Buffer) => T | undefined): T[] {
    let reason: number = Errno.EINTR;
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const outcome = this.#dumpOnce(request, decode);
      if (typeof outcome !== 'number') return outcome;
      reason = outcome;
    }
    throw new KernelError(request.operation, reason, 'the table kept changing while it was read');
  }

  #dumpOnce<T>(request: Request, decode: (body: Buffer) => T | undefined): T[] | number {
    const sequence = this.#nextSequence();
    this.#out.reset();
    encodeRequest(this.#out, request, sequence, NLM_F_DUMP);
    this.#send(request.operation);
    const items: T[] = [];
    let interrupted = false;
    let overrun = false;
    for (;;) {
      const received = this.#transport.receive(this.#in);
      if (received === -Errno.EINTR) continue;
      if (received === -Errno.ENOBUFS) {
        overrun = true;
        continue;
      }
      // Lost with the end of the dump in it, so nothing more comes.
      if (received === -Errno.EAGAIN && overrun) return Errno.ENOBUFS;
      checked(request.operation, received);
      for (const message of this.#messages(received)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_OVERRUN) overrun = true;
        if (message.type === NLMSG_ERROR) {
          const error = decodeError(request.operation, message);
          if (error !== undefined) throw error;
        } else if (message.type === NLMSG_DONE) {
          const error = decodeDone(request.operation, message);
          if (error !== undefined && error.errno !== Errno.EINTR) throw error;
          if (overrun) return Errno.ENOBUFS;
          return interrupted || error !== undefined ? Errno.EINTR : items;
        } else {
          const item = decode(message.body);
          if (item !== undefined) items.push(item);
        }
      }
    }
  }

  /** Asks for one object. Undefined when there is none (ENODEV, ENOENT); throws any other KernelError. */
  get<T>(request: Request, decode: (body: Buffer) => T | undefined): T | undefined {
    const sequence = this.#nextSequence();
    this.#out.reset();
    encodeRequest(this.#out, request, sequence, NLM_F_ACK);
    this.#send(request.operation);
    let item: T | undefined;
    for (;;) {
      const received = this.#transport.receive(this.#in);
      if (received === -Errno.EINTR) continue;
      checked(request.operation, received);
      for (const message of this.#messages(received)) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG_ERROR) {
          item = decode(message.body);
          continue;
        }
        const error = decodeError(request.operation, message);
        if (error === undefined) return item;
        if (error.errno === Errno.ENODEV || error.errno === Errno.ENOENT) return undefined;
        throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }
}
