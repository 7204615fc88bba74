/** The way to the other controllers, by the addresses they registered with: one channel to each, made when it is needed. */
import { randomUUID } from 'node:crypto';
import { credentials, type Channel, type ChannelCredentials } from '@grpc/grpc-js';
import type { ControllerId } from '../../core/ids.js';
import { parseHostId } from '../../core/ids.js';
import { call } from '../../proto/call.js';
import { openChannel } from '../../proto/channel.js';
import { parseControllers, targetOf } from '../../proto/controller-list.js';
import { PeerServiceClient, type PeerSession } from '../../proto/gen/weft/v1/peer.js';
import type { Cache } from '../cache/cache.js';
import type { PeerAnswer } from '../fanout/heard.js';
import type { PeerQuestion, Peers } from '../fanout/peer-poll.js';
import type { HostStanding } from '../fanout/standing.js';
import type { KeyPair } from '../identity/ca.js';

/** What the others know this controller by: its certificate, of role controller, and the cluster's CA. */
export interface PeerIdentity {
  readonly ca: string;
  readonly pair: KeyPair;
}

interface Peer {
  readonly channel: Channel;
  readonly client: PeerServiceClient;
}

export class PeerChannels implements Peers, Disposable {
  readonly #cache: Cache;
  readonly #credentials: ChannelCredentials;
  readonly #peers = new Map<ControllerId, Peer>();
  readonly #subscription: Disposable;

  constructor({ cache, identity }: { readonly cache: Cache; readonly identity: PeerIdentity }) {
    const { ca, pair } = identity;
    this.#cache = cache;
    this.#credentials = credentials.createSsl(Buffer.from(ca), Buffer.from(pair.key), Buffer.from(pair.cert));
    this.#subscription = cache.subscribe(({ changes }) => {
      for (const { kind, before, after } of changes) {
        // Another address is another life of it, with an id of its own.
        if (kind === 'controller' && before !== undefined && after === undefined) this.#close(before.id);
      }
    });
  }

  /** Asks once. Rejects with a sentence: it is not registered, does not answer, or refuses. */
  async ask(
    controller: ControllerId,
    question: PeerQuestion,
    { signal, timeoutMs }: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ): Promise<PeerAnswer> {
    const registered = this.#cache.view.controllers.get(controller);
    if (registered === undefined) throw new Error('it is not there any more');
    const { client } = this.#peers.get(controller) ?? this.#open(controller, registered.address);
    const { revision, sessions, controllerId } = await call(client.sessions.bind(client), question, {
      ...{ signal, timeoutMs, requestId: randomUUID() },
      peer: { name: `the controller at ${registered.address}`, unavailable: 'CONTROLLER_UNAVAILABLE' },
    });
    // One that was started again has its address, and a name of its own: of hosts that it does not have it knows nothing.
    if (controllerId !== controller) throw new Error(`another controller is at ${registered.address} now`);
    return { revision, sessions: sessions.flatMap(toStanding) };
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const id of [...this.#peers.keys()]) this.#close(id);
  }

  #open(id: ControllerId, address: string): Peer {
    const channel = openChannel(targetOf(parseControllers(address)), this.#credentials);
    const peer = { channel, client: new PeerServiceClient('', this.#credentials, { channelOverride: channel }) };
    this.#peers.set(id, peer);
    return peer;
  }

  #close(id: ControllerId): void {
    this.#peers.get(id)?.channel.close();
    this.#peers.delete(id);
  }
}

function toStanding({ hostId: text, ...standing }: PeerSession): HostStanding[] {
  const hostId = parseHostId(text);
  return hostId === undefined ? [] : [{ ...standing, hostId }];
}
