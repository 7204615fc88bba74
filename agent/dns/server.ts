/** Keeps a listener at every gateway address of this host's networks, and their view up to date. */
import { statSync } from 'node:fs';
import { Counter, type Registry } from 'prom-client';
import type { IpAddress } from '../../core/address.js';
import type { Logger } from '../../core/daemon/log.js';
import type { HostView } from '../../core/fold.js';
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Problem } from '../../core/model.js';
import { listenInNetns } from '../kernel/listen-in-netns.js';
import { Answerer, standardChain } from './answerer.js';
import { TcpListener } from './tcp-listener.js';
import { UdpListener } from './udp-listener.js';
import { Names } from './view.js';

const DNS_PORT = 53;

/** Where one network is to be answered. */
export interface DnsPlace {
  /** Path of the network's namespace on this host. */
  readonly netns: string;
  /** The gateway's addresses; they may still be missing in the namespace. */
  readonly addresses: readonly IpAddress[];
}

interface Listening {
  readonly networkId: NetworkId;
  readonly netns: string;
  /** The namespace itself: one that was made anew has the same path. Not reused while a socket of ours keeps it alive. */
  readonly inode: bigint;
  readonly sockets: readonly Disposable[];
  failed: boolean;
}

export interface DnsServersOptions {
  readonly log: Logger;
  /** Gets `weft_dns_replies_total{rcode}`. */
  readonly registry: Registry;
}

/**
 * The answerers of a host. `update` is level-triggered: call it with all that is desired, again and again.
 *
 * A socket keeps its namespace alive, with every device in it. So before a network's namespace is deleted and reported
 * as gone, `update` must have been called without that network; its sockets are closed when the call returns.
 */
export class DnsServers implements Disposable {
  readonly #listening = new Map<string, Listening>();
  readonly #answerer: Answerer;
  readonly #log: Logger;
  #names = new Names(new Map());

  constructor({ log, registry }: DnsServersOptions) {
    this.#log = log;
    const replies = new Counter({
      name: 'weft_dns_replies_total',
      help: 'DNS replies sent to sandboxes, by response code',
      labelNames: ['rcode'],
      registers: [registry],
    });
    this.#answerer = new Answerer({
      chain: standardChain(),
      names: () => this.#names,
      log,
      onReply: (rcode) => replies.inc({ rcode }),
    });
  }

  /** Where it is answered now: `network-id address`, for status and tests. */
  get listening(): readonly string[] {
    return [...this.#listening.keys()];
  }

  /**
   * Answers from `view`, and for nobody on hosts that are `unreachable`, at exactly the places `desired`; closes before it opens. Returns what could not be opened (the
   * others are served all the same); the next call tries again.
   */
  update(
    desired: ReadonlyMap<NetworkId, DnsPlace>,
    view: HostView,
    unreachable: ReadonlySet<HostId> = new Set(),
  ): readonly Problem[] {
    this.#names = new Names(view, { unreachable, previous: this.#names });
    const wanted = new Map<string, { readonly networkId: NetworkId; readonly netns: string; readonly ip: IpAddress }>();
    for (const [networkId, { netns, addresses }] of desired) {
      for (const ip of addresses) wanted.set(`${networkId} ${ip}`, { networkId, netns, ip });
    }
    for (const [key, held] of this.#listening) {
      const want = wanted.get(key);
      if (want?.netns === held.netns && !held.failed && inodeOf(held.netns) === held.inode) continue;
      this.#listening.delete(key);
      close(held.sockets);
    }
    const problems: Problem[] = [];
    for (const [key, want] of wanted) {
      if (this.#listening.has(key)) continue;
      try {
        this.#listening.set(key, this.#open(want));
      } catch (error) {
        problems.push({ object: `dns ${want.ip}`, message: error instanceof Error ? error.message : String(error) });
      }
    }
    return problems;
  }

  #open({ networkId, netns, ip }: { networkId: NetworkId; netns: string; ip: IpAddress }): Listening {
    const log = this.#log.child({ networkId, address: ip });
    const options = { networkId, address: ip, answerer: this.#answerer, log };
    const inode = inodeOf(netns) ?? 0n;
    // Both before either is served: half an answerer would look like a whole one. A descriptor that was taken over
    // leaves nothing here to dispose of.
    using udp = listenInNetns({ netns, protocol: 'udp', ip, port: DNS_PORT });
    using tcp = listenInNetns({ netns, protocol: 'tcp', ip, port: DNS_PORT });
    const onFailed = (error: Error): void => {
      log.warn({ err: error }, 'dns: tcp socket');
      listening.failed = true;
    };
    const sockets: Disposable[] = [];
    const listening: Listening = { networkId, netns, inode, sockets, failed: false };
    try {
      sockets.push(new UdpListener(udp, options));
      sockets.push(new TcpListener(tcp, options, onFailed));
      return listening;
    } catch (error) {
      close(sockets);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { sockets } of this.#listening.values()) close(sockets);
    this.#listening.clear();
  }
}

function close(sockets: readonly Disposable[]): void {
  for (const socket of sockets) socket[Symbol.dispose]();
}

/** Which namespace is mounted at `path`; undefined when there is no file. */
function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
