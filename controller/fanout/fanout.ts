/** Every agent's stream, and what each revision means for each of them. */
import { DIGEST_FORMAT } from '../../core/digest.js';
import { WeftError } from '../../core/errors.js';
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Host } from '../../core/model.js';
import type { Cache } from '../cache/cache.js';
import type { ChangeSet, ObjectChange, View } from '../cache/view.js';
import { Frames, encodeChange, encodeDrop, encodeWelcome, isMuch, type Encoded } from './frames.js';
import { Kept, type Parts } from './kept.js';
import { Differences, type Resume } from './resume.js';
import { Session, type Item, type Refresh, type SessionStream } from './session.js';
import { deltasOf, neighboursOf, spanOf, unreachableIn, type NetworkDelta } from './span.js';

/** Changes that arrive within this time travel together: one write, one batch, one ack. */
const TOGETHER_MS = 2;

/** Bytes of frames, and of differences, that are kept for the next host that needs them. */
const KEPT_FRAMES = { bytes: 64 * 1024 * 1024 };
const KEPT_DIFFERENCES = { bytes: 16 * 1024 * 1024 };

/** What happens, for the metrics. */
export interface FanoutObserver {
  encoded(kind: 'frame' | 'change' | 'replacement'): void;
  sent(bytes: number): void;
}

export interface FanoutOptions {
  readonly cache: Cache;
  readonly observer: FanoutObserver;
  readonly clusterId: string;
  readonly epoch: string;
}

export interface OpenOptions {
  /** Names the stream. */
  readonly id: string;
  readonly host: Host;
  readonly stream: SessionStream;
  readonly onBroken: (error: unknown) => void;
  /** Ask the host first what it runs; its snapshot follows when the session is told to `begin`. */
  readonly declare?: boolean;
  /** Nothing but the welcome is sent before the session is told to `begin`. */
  readonly held?: boolean;
  /** What it has of this epoch already: it is told what differs from that. */
  readonly resume?: Resume | undefined;
}

export class Fanout implements Disposable {
  readonly #options: FanoutOptions;
  readonly #sessions = new Map<HostId, Session>();
  readonly #keptFrames = new Kept(KEPT_FRAMES);
  readonly #keptDifferences = new Kept(KEPT_DIFFERENCES);
  readonly #frames: Frames;
  readonly #differences: Differences;
  readonly #subscription: Disposable;
  readonly #progress = new Set<() => void>();
  /** Streams that have something new queued. */
  readonly #dirty = new Set<Session>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: FanoutOptions) {
    this.#options = options;
    this.#frames = new Frames(this.#keptFrames, () => {
      options.observer.encoded('frame');
    });
    this.#differences = new Differences(this.#keptDifferences, () => {
      options.observer.encoded('replacement');
    });
    this.#subscription = options.cache.subscribe((changes) => {
      this.#distribute(changes);
    });
  }

  get view(): View {
    return this.#options.cache.view;
  }

  /** Every open stream. */
  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Whether this is no controller to ask any more. */
  get closed(): boolean {
    return this.#closed;
  }

  sessionOf(host: HostId): Session | undefined {
    return this.#sessions.get(host);
  }

  /** Begins a host's stream with everything in its span. An earlier stream of the host is ended: its agent is gone. */
  open({ id, host, stream, onBroken, declare = false, held = declare, resume }: OpenOptions): Session {
    const { clusterId, epoch, observer } = this.#options;
    if (this.#closed) throw stopping();
    this.#sessions
      .get(host.id)
      ?.end(new WeftError({ reason: 'SESSION_STALE', message: `host ${host.name} has opened a newer stream` }));
    const resumed = resume !== undefined;
    const welcome = (session: string): Encoded =>
      encodeWelcome({
        ...{ clusterId, epoch, session, hostNumber: host.number, hostName: host.name, declare },
        ...{ resumed, format: DIGEST_FORMAT, incarnation: host.incarnation },
      });
    let has = resume;
    const session = new Session(
      {
        ...{ id, host, stream, onBroken, welcome, held },
        refresh: (networks) => {
          // From the first batch on it has what it was told, and this is let go.
          const before = has;
          has = undefined;
          return this.#refresh(host.id, networks, before);
        },
        onSent: (bytes) => {
          observer.sent(bytes);
        },
      },
      new Set([...spanOf(this.view, host.id), ...(resume?.keys() ?? [])]),
      this.view.revision,
    );
    for (const peer of neighboursOf(this.view, host.id)) if (!this.view.alive.has(peer)) session.tell(peer, false);
    this.#sessions.set(host.id, session);
    session.kick();
    this.progressed();
    return session;
  }

  /** Ends a session. Whether the host counts as unreachable, its lease says, not this. */
  close(session: Session): void {
    session.end();
    this.#dirty.delete(session);
    if (this.#sessions.get(session.host.id) === session) this.#sessions.delete(session.host.id);
    this.progressed();
  }

  /** Ends every stream with this refusal; agents go to another controller. Those that come later are welcome. */
  dismiss(reason: WeftError): void {
    for (const session of [...this.#sessions.values()]) {
      session.end(reason);
      this.close(session);
    }
  }

  /** Calls `listener` whenever a host may have come closer: an ack, a nack, a stream opened or closed. */
  onProgress(listener: () => void): Disposable {
    this.#progress.add(listener);
    return { [Symbol.dispose]: () => this.#progress.delete(listener) };
  }

  /** Says that some host has answered. */
  progressed(): void {
    for (const listener of this.#progress) listener();
  }

  /** Ends every stream; agents go to another controller. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#subscription[Symbol.dispose]();
    clearTimeout(this.#timer);
    this.dismiss(stopping());
    this.progressed();
  }

  #distribute(changes: ChangeSet): void {
    const { revision } = changes;
    const items = new Map<HostId, Item[]>();
    for (const delta of deltasOf(this.view, changes)) {
      for (const kept of [this.#keptFrames, this.#keptDifferences, this.#differences]) kept.touched(delta.networkId);
      this.#address(delta, revision, items);
    }
    for (const change of changes.changes) {
      if (change.kind === 'alive') this.#tellPeers(change);
    }
    for (const [host, list] of items) {
      const session = this.#sessions.get(host);
      if (session === undefined) continue;
      session.enqueue(revision, list);
      this.#dirty.add(session);
    }
    if (this.#dirty.size > 0) this.#timer ??= setTimeout(() => this.#flush(), TOGETHER_MS);
  }

  /** Puts what a network's delta means into the hosts' lists; nothing is encoded that no open stream needs. */
  #address(delta: NetworkDelta, revision: bigint, items: Map<HostId, Item[]>): void {
    const { networkId, joined, left, stayed } = delta;
    const give = (hosts: ReadonlySet<HostId>, encode: () => readonly Encoded[] | undefined): void => {
      let added: readonly Item[] | undefined;
      for (const host of hosts) {
        if (!this.#sessions.has(host)) continue;
        added ??= encode()?.map((bytes) => ({ networkId, bytes }));
        if (added === undefined) return;
        const list = items.get(host);
        if (list === undefined) items.set(host, [...added]);
        else list.push(...added);
      }
    };
    const frame = () => this.#frameOf(networkId);
    const change = () => {
      this.#options.observer.encoded('change');
      return [encodeChange(delta, revision)];
    };
    if (joined.size > 0) this.#tellOf(unreachableIn(this.view, networkId), joined);
    const gone = delta.putPeers.flatMap(({ hostId }) => (this.view.alive.has(hostId) ? [] : [hostId]));
    this.#tellOf(gone, stayed);
    give(stayed, isMuch(delta) ? frame : change);
    give(joined, frame);
    give(left, () => [encodeDrop(networkId, revision)]);
  }

  /** Tells the peers of a host that it went or returned: once, whatever the number of networks. */
  #tellPeers({ before, after }: Pick<Extract<ObjectChange, { kind: 'alive' }>, 'before' | 'after'>): void {
    const hostId = (after ?? before)?.hostId;
    if (hostId === undefined || (before === undefined) === (after === undefined)) return;
    for (const peer of neighboursOf(this.view, hostId)) {
      const session = this.#sessions.get(peer);
      if (session === undefined) continue;
      session.tell(hostId, after !== undefined);
      this.#dirty.add(session);
    }
  }

  /** Tells hosts to which a network, or a peer in it, is new which of these nobody hears from. */
  #tellOf(gone: readonly HostId[], hosts: ReadonlySet<HostId>): void {
    if (gone.length === 0) return;
    for (const host of hosts) {
      const session = this.#sessions.get(host);
      for (const each of gone) if (each !== host) session?.tell(each, false);
    }
  }

  #flush(): void {
    this.#timer = undefined;
    for (const session of this.#dirty) session.kick();
    this.#dirty.clear();
  }

  /** @param has what the host has of them at the moment, where it said so */
  #refresh(host: HostId, networks: Iterable<NetworkId>, has: Resume | undefined): ReturnType<Refresh> {
    const { view } = this;
    const span = spanOf(view, host);
    const items = [...networks].flatMap(
      (id) => (span.has(id) ? this.#tellingOf(id, has) : undefined) ?? [encodeDrop(id, view.revision)],
    );
    return { revision: view.revision, items };
  }

  /** The network as it is now, for a host that has this of it; undefined when there is no such network. */
  #tellingOf(id: NetworkId, has: Resume | undefined): Parts | undefined {
    const network = this.view.networks.get(id);
    const known = has?.get(id);
    if (network === undefined || known === undefined) return this.#frameOf(id);
    return this.#differences.of(this.view, network, known) ?? this.#frames.of(this.view, network);
  }

  #frameOf(id: NetworkId): Parts | undefined {
    const network = this.view.networks.get(id);
    return network === undefined ? undefined : this.#frames.of(this.view, network);
  }
}

/** The refusal of a controller that is on its way out. */
export function stopping(): WeftError {
  return new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: 'this controller is stopping; ask another' });
}
