/**
 * One agent's stream: what is still to be sent, and what the host has acknowledged. Everything queued when the stream
 * is ready for more travels as one batch, ended by InSync, so a batch never splits a revision. A host that cannot keep
 * up has its queue replaced by a note of the networks concerned, and gets those in full when it is ready: memory is
 * bounded whatever the host does.
 */
import type { WeftError } from '../../core/errors.js';
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Host, Problem } from '../../core/model.js';
import { encodeInSync, encodeLiveness, type Encoded } from './frames.js';
import { Unacked } from './unacked.js';

/** The stream as a session needs it. */
export interface SessionStream {
  /** Hands one message over; false: not another one before `drained`. */
  write(bytes: Encoded): boolean;
  /** Resolves when there is room again; rejects when the stream has ended. */
  drained(): Promise<void>;
  /** Ends the stream with this refusal. */
  end(reason: WeftError): void;
}

/** Networks as they are now: a frame where the host's span has them, a drop where not. The list is the caller's. */
export type Refresh = (networks: Iterable<NetworkId>) => {
  readonly revision: bigint;
  readonly items: Encoded[];
};

export interface SessionOptions {
  /** Names the stream; the host's own requests carry it. */
  readonly id: string;
  readonly host: Host;
  readonly stream: SessionStream;
  readonly refresh: Refresh;
  /** The first message. */
  readonly welcome: (session: string) => Encoded;
  /** Nothing but the first message is sent before `begin`. */
  readonly held?: boolean;
  /** Called for all bytes handed to the stream. */
  readonly onSent: (bytes: number) => void;
  /** Called when sending broke: the stream is gone, or a fault of ours. */
  readonly onBroken: (error: unknown) => void;
  /** Bytes queued before the queue is replaced. Default 4 MiB; they are shared with other streams. */
  readonly queueBytes?: number;
}

/** What one revision has for this host, about one network. */
export interface Item {
  readonly networkId: NetworkId;
  readonly bytes: Encoded;
}

const QUEUE_BYTES = 4 * 1024 * 1024;

/** What a nack is kept of. */
const PROBLEMS = 20;
const PROBLEM_LENGTH = 500;

export class Session {
  readonly #options: SessionOptions;
  #queue: Item[] = [];
  #queuedBytes = 0;
  /** The revision the queue brings the host to. */
  #queuedRevision = 0n;
  /** Networks to be sent in full, once the queue was given up. */
  #stale: Set<NetworkId> | undefined;
  /** Peers that went or returned, and which: each as it is now. At most as many as there are hosts. */
  #liveness = new Map<HostId, boolean>();
  #sending = false;
  #ended = false;
  #welcomed = false;
  #held: boolean;
  readonly #unacked = new Unacked();
  #ackedRevision = 0n;
  #inSyncRevision = 0n;
  #problems: readonly Problem[] = [];

  /** Begins with a snapshot of `span` at `revision`, sent when first kicked. */
  constructor(options: SessionOptions, span: ReadonlySet<NetworkId>, revision: bigint) {
    this.#options = options;
    this.#held = options.held ?? false;
    this.#stale = new Set(span);
    // Of what an earlier stream acknowledged nothing is known here; the snapshot stands for all of it.
    this.#unacked.add(revision, 1n);
  }

  get id(): string {
    return this.#options.id;
  }

  get host(): Host {
    return this.#options.host;
  }

  /** What the host could not do when it last tried, or, since it acknowledged, does otherwise than asked. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  get ackedRevision(): bigint {
    return this.#ackedRevision;
  }

  /** The first revision that concerns the host and is not in its kernel yet; undefined: it has everything. */
  get openRevision(): bigint | undefined {
    return this.#unacked.first;
  }

  /** Bytes waiting to be sent. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Adds what a revision has for this host. Sends nothing yet: see `kick`. */
  enqueue(revision: bigint, items: readonly Item[]): void {
    if (this.#ended) return;
    this.#unacked.add(revision);
    this.#queuedRevision = revision;
    if (this.#stale === undefined) {
      for (const item of items) {
        this.#queue.push(item);
        this.#queuedBytes += item.bytes.length;
      }
      if (this.#queuedBytes <= (this.#options.queueBytes ?? QUEUE_BYTES)) return;
      this.#stale = new Set(this.#queue.map(({ networkId }) => networkId));
      this.#queue = [];
      this.#queuedBytes = 0;
    } else {
      for (const { networkId } of items) this.#stale.add(networkId);
    }
  }

  /** Adds that a peer went or returned. Concerns no revision: it is no state of the host's kernel. Sends nothing yet. */
  tell(host: HostId, isThere: boolean): void {
    if (!this.#ended) this.#liveness.set(host, isThere);
  }

  /** Sends what is queued, unless that is being done already. */
  kick(): void {
    if (this.#sending || this.#ended) return;
    this.#sending = true;
    this.#send().catch((error: unknown) => {
      if (!this.#ended) this.#options.onBroken(error);
    });
  }

  /** Lets a stream that was held go on to its snapshot. */
  begin(): void {
    this.#held = false;
    this.kick();
  }

  /** The host's kernel has everything up to `revision`. False: it was never told so much, and is not believed. */
  acknowledge(revision: bigint, notices: readonly Problem[] = []): boolean {
    if (revision > this.#inSyncRevision) return false;
    this.#unacked.acknowledge(revision);
    if (revision > this.#ackedRevision) this.#ackedRevision = revision;
    this.#problems = notices.slice(0, PROBLEMS).map(printableProblem);
    return true;
  }

  /** The host could not be brought to `revision`, and keeps trying. */
  refuse(problems: readonly Problem[]): void {
    this.#problems = problems.slice(0, PROBLEMS).map(printableProblem);
  }

  /** Ends the stream, if it has not ended; nothing is sent any more. */
  end(reason?: WeftError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (reason !== undefined) this.#options.stream.end(reason);
  }

  async #send(): Promise<void> {
    try {
      if (!this.#welcomed) {
        this.#welcomed = true;
        await this.#write(this.#options.welcome(this.id));
      }
      while (!this.#ended && !this.#held && this.#hasMore()) {
        const liveness = this.#liveness;
        const batch = this.#queue.length > 0 || this.#stale !== undefined ? this.#take() : undefined;
        if (liveness.size > 0) {
          this.#liveness = new Map();
          await this.#write(encodeLiveness(liveness));
        }
        if (batch === undefined) continue;
        const { revision, items } = batch;
        // What has been sent is let go at once: networks are megabytes, and the host may be slow.
        items.reverse();
        for (let item = items.pop(); item !== undefined; item = items.pop()) await this.#write(item);
        // Told before it is written: the answer may be here before the write returns.
        this.#inSyncRevision = revision;
        await this.#write(encodeInSync(revision));
      }
    } finally {
      // In the same step as the loop's last look at the queue, so that no kick falls between the two.
      this.#sending = false;
    }
  }

  #hasMore(): boolean {
    return this.#queue.length > 0 || this.#stale !== undefined || this.#liveness.size > 0;
  }

  #take(): ReturnType<Refresh> {
    const stale = this.#stale;
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#stale = undefined;
    if (stale !== undefined) return this.#options.refresh(stale);
    return { revision: this.#queuedRevision, items: queue.map(({ bytes }) => bytes) };
  }

  async #write(bytes: Encoded): Promise<void> {
    if (this.#ended) return;
    this.#options.onSent(bytes.length);
    if (!this.#options.stream.write(bytes)) await this.#options.stream.drained();
  }
}

function printableProblem({ object, message }: Problem): Problem {
  return { object: printable(object), message: printable(message) };
}

/** Text of others, fit for logs and tables. */
function printable(text: string): string {
  return text.slice(0, PROBLEM_LENGTH).replaceAll(/\p{Cc}/gu, ' ');
}
