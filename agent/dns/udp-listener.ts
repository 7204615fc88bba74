/** Answers at one address over UDP. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { familyOf, parseIp, type IpAddress } from '../../core/address.js';
import type { Logger } from '../../core/daemon/log.js';
import type { NetworkId } from '../../core/ids.js';
import type { Descriptor } from '../kernel/descriptor.js';
import type { Answerer } from './answerer.js';

export interface ListenerOptions {
  readonly networkId: NetworkId;
  readonly address: IpAddress;
  readonly answerer: Answerer;
  readonly log: Logger;
}

/** Serves until disposed. Disposing closes the descriptor at once: an open socket keeps its whole namespace alive. */
export class UdpListener implements Disposable {
  readonly #socket: Socket;
  readonly #stop = new AbortController();

  /** Takes over a bound descriptor (`listenInNetns`). Throws when it is no UDP socket. */
  constructor(
    descriptor: Descriptor,
    private readonly options: ListenerOptions,
  ) {
    this.#socket = createSocket(familyOf(options.address) === 4 ? 'udp4' : 'udp6');
    this.#socket.on('error', (error) => options.log.warn({ err: error }, 'dns: udp socket'));
    this.#socket.on('message', (bytes, from) => {
      this.#answer(bytes, from).catch((error: unknown) => options.log.error({ err: error }, 'dns: udp'));
    });
    this.#socket.bind({ fd: descriptor.fd, exclusive: true });
    descriptor.release();
  }

  async #answer(bytes: Buffer, from: RemoteInfo): Promise<void> {
    // Nobody listens at port 0; to send there would throw.
    if (from.port === 0) return;
    const { answerer, networkId, log } = this.options;
    const { signal } = this.#stop;
    const asker = { networkId, address: parseIp(from.address) };
    const reply = await answerer.answer(bytes, asker, { transport: 'udp', signal });
    if (reply === undefined || signal.aborted) return;
    this.#socket.send(reply, from.port, from.address, (error) => {
      // The asker is gone, or its packets are filtered: it will ask again.
      if (error !== null) log.debug({ err: error, asker: from.address }, 'dns: reply not sent');
    });
  }

  [Symbol.dispose](): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#socket.close();
  }
}
