/** For tests: a TCP relay on loopback between client and server, which breaks connections on purpose. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class CuttingProxy implements AsyncDisposable {
  /** How many connections were broken. */
  cuts = 0;
  /** Bytes passed on to clients, over all connections. */
  bytesToClients = 0;
  /** For each new connection: after how many bytes to the client it breaks; undefined: never. */
  budget: () => number | undefined = () => undefined;
  #silent = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(readonly target: number) {
    this.#server = createServer((client) => this.#relay(client));
  }

  /** Relays to 127.0.0.1:`target`. */
  static async open(target: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Goes silent: what is open stays open, and nothing passes, as when a cable is pulled. New ones are relayed. */
  silence(): void {
    for (const socket of this.#sockets) {
      socket.removeAllListeners('data');
      socket.pause();
    }
    this.#silent = true;
  }

  get silent(): boolean {
    return this.#silent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket): void {
    let left = this.budget();
    const server = connect(this.target, '127.0.0.1');
    const sockets = [client, server];
    const end = (): void => {
      for (const socket of sockets) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const socket of sockets) {
      this.#sockets.add(socket);
      socket.once('error', end).once('close', end);
    }
    client.on('data', (chunk) => forward(chunk, client, server));
    server.on('data', (chunk) => {
      const passed = left === undefined ? chunk : chunk.subarray(0, left);
      this.bytesToClients += passed.length;
      forward(passed, server, client);
      if (left === undefined) return;
      left -= passed.length;
      if (left > 0) return;
      this.cuts += 1;
      // Delivered first: what was sent before the break counts as sent.
      client.end(end);
    });
  }
}

/** Passes a chunk on, no faster than it is taken. */
function forward(chunk: Buffer, from: Socket, to: Socket): void {
  if (to.destroyed || to.write(chunk)) return;
  from.pause();
  to.once('drain', () => from.resume());
}
