/** Answers at one address over TCP, to askers that may be slow, silent or many. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { parseIp } from '../../core/address.js';
import type { Descriptor } from '../kernel/descriptor.js';
import { frame, FrameReader } from './frames.js';
import type { ListenerOptions } from './udp-listener.js';

/** A connection on which nothing happens is closed after this; resolvers send their question at once. */
const IDLE_MS = 10_000;
/** And after this in any case, also while something drips in. */
const LIFETIME_MS = 60_000;
/** Connections at one time: of one asker, so that none takes them all, and in all. Further ones are closed. */
const MAX_PER_ASKER = 16;
const MAX_CONNECTIONS = 256;

/**
 * Serves until disposed. Disposing closes every descriptor at once: an open socket keeps its whole namespace alive.
 *
 * What this side ends, it ends by RST. Closed in peace, a connection whose asker is gone would wait in the kernel for
 * its farewell, for minutes, and the namespace with it.
 */
export class TcpListener implements Disposable {
  readonly #server: Server;
  readonly #stop = new AbortController();
  readonly #connections = new Set<Socket>();

  /** Takes over a bound descriptor (`listenInNetns`). `onFailed` is called when listening fails after all. */
  constructor(
    descriptor: Descriptor,
    private readonly options: ListenerOptions,
    onFailed: (error: Error) => void,
  ) {
    // Half open: an asker that sends its question and its end together still gets its answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#serve(socket);
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on('error', onFailed);
    this.#server.listen({ fd: descriptor.fd, exclusive: true });
    descriptor.release();
  }

  #serve(socket: Socket): void {
    const { remoteAddress } = socket;
    const ofAsker = [...this.#connections].filter((other) => other.remoteAddress === remoteAddress).length;
    if (remoteAddress === undefined || ofAsker >= MAX_PER_ASKER) {
      socket.resetAndDestroy();
      return;
    }
    this.#connections.add(socket);
    const lifetime = setTimeout(() => socket.resetAndDestroy(), LIFETIME_MS);
    lifetime.unref();
    socket.setTimeout(IDLE_MS, () => socket.resetAndDestroy());
    socket.on('error', (error) => this.options.log.debug({ err: error, asker: remoteAddress }, 'dns: tcp connection'));
    socket.on('close', () => {
      clearTimeout(lifetime);
      this.#connections.delete(socket);
    });
    this.#converse(socket, remoteAddress).catch((error: unknown) => {
      // The connection ended while something was being sent.
      this.options.log.debug({ err: error, asker: remoteAddress }, 'dns: tcp connection');
      socket.destroy();
    });
  }

  /** One message after another, and none read before the last was sent: an asker that does not read cannot pile up replies. */
  async #converse(socket: Socket, remoteAddress: string): Promise<void> {
    const { answerer, networkId } = this.options;
    const { signal } = this.#stop;
    const asker = { networkId, address: parseIp(remoteAddress) };
    const reader = new FrameReader();
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (const message of reader.push(chunk)) {
        const reply = await answerer.answer(message, asker, { transport: 'tcp', signal });
        // What is no query at all has no business on a connection.
        if (reply === undefined) {
          socket.resetAndDestroy();
          return;
        }
        if (!socket.write(frame(reply))) await once(socket, 'drain', { signal });
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#server.close();
    for (const socket of this.#connections) socket.resetAndDestroy();
  }
}
