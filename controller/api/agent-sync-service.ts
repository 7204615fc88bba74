/** AgentSyncService: see proto/weft/v1/agent_sync.proto. One host's stream, from hello to its end. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { randomUUID } from 'node:crypto';
import type { Cidr } from '../../core/address.js';
import { asError, WeftError, invalid } from '../../core/errors.js';
import type { HostId } from '../../core/ids.js';
import { anySignal, deferred, type Deferred } from '../../core/lifetime.js';
import {
  AgentSyncServiceService,
  SyncResponse,
  type AgentSyncServiceServer,
  type Declaration,
  type Hello,
  type SyncRequest,
} from '../../proto/gen/weft/v1/agent_sync.js';
import type { Cache } from '../cache/cache.js';
import type { Committer } from '../commit/commit.js';
import { registerHost, updateHost } from '../domain/host.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Resume } from '../fanout/resume.js';
import type { Session, SessionStream } from '../fanout/session.js';
import { clusterDiffers, originOf } from '../domain/origin.js';
import type { Holding, HostLeases } from '../liveness/host-leases.js';
import type { Meta } from '../meta.js';
import { takeDeclaration } from './declaration.js';
import { readHello, readPrefixes, readResume } from './read-hello.js';
import { Reports } from './reports.js';
import type { CallInfo, Serve } from './serve.js';
import { Checker } from './validate.js';

export interface AgentSyncServiceOptions {
  readonly cache: Cache;
  readonly committer: Committer;
  readonly fanout: Fanout;
  readonly leases: HostLeases;
  readonly observer: SyncObserver;
  readonly meta: Meta;
}

/** What happens, for the metrics. */
export interface SyncObserver {
  refused(): void;
}

/** What goes out is bytes already: one encoding is shared by every stream that needs it. */
type Outgoing = SyncResponse | Uint8Array;
type Stream = ServerDuplexStream<SyncRequest, Outgoing>;

/** The service, with a serializer that lets encoded messages through. */
export const AGENT_SYNC_DEFINITION = {
  sync: {
    ...AgentSyncServiceService.sync,
    responseSerialize: (value: Outgoing): Buffer => {
      const bytes = value instanceof Uint8Array ? value : SyncResponse.encode(value).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
  },
} as const;

/** Milliseconds in which an agent says hello, and in which it says what it runs. */
const HELLO_MS = 10_000;
const DECLARATION_MS = 30_000;

/** Messages that a declaration may come in: some 100,000 endpoints, or 8,000 with as many labels as they may have. */
const DECLARATION_PARTS = 64;

export function agentSyncService(serve: Serve, options: AgentSyncServiceOptions): AgentSyncServiceServer {
  return {
    sync: serve.bidi<SyncRequest, Outgoing>('AgentSyncService/Sync', (stream, info) =>
      new AgentStream(stream, info, options).run(),
    ),
  };
}

class AgentStream {
  readonly #stream: Stream;
  readonly #info: CallInfo;
  readonly #options: AgentSyncServiceOptions;
  readonly #hello = deferred<Hello>();
  readonly #declaration = deferred<Declaration>();
  /** What the host has already, until that was compared: it may be as much as a megabyte. */
  #resume: Resume | undefined;
  #isAsked = false;
  /** What of it is here. */
  readonly #declared: Declaration[] = [];
  /** Where the host's routes lead, as it said last; undefined: it has said nothing since that was recorded. */
  #prefixes: readonly Cidr[] | undefined;
  #recording: Promise<void> | undefined;
  /** Settles when the stream is over: resolved when the agent ended it, rejected with what it is ended with. */
  readonly #over: Deferred<void> = deferred();
  readonly #ended = new AbortController();
  #room: Deferred<void> | undefined;
  #session: Session | undefined;
  #reports: Reports | undefined;

  constructor(stream: Stream, info: CallInfo, options: AgentSyncServiceOptions) {
    this.#stream = stream;
    this.#info = info;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { fanout } = this.#options;
    const impatience = setTimeout(() => {
      this.#fail(new WeftError(invalid('hello', `it did not come within ${String(HELLO_MS / 1_000)} seconds`)));
    }, HELLO_MS);
    this.#listen();
    try {
      const hello = await Promise.race([this.#hello.promise, this.#over.promise]);
      clearTimeout(impatience);
      if (hello !== undefined) await this.#follow(hello);
    } finally {
      clearTimeout(impatience);
      this.#ended.abort();
      this.#room?.reject(new Error('the stream has ended'));
      if (this.#session !== undefined) fanout.close(this.#session);
      await this.#reports?.settled();
      await this.#recording;
    }
  }

  async #follow(hello: Hello): Promise<void> {
    const { committer, cache, fanout, leases, meta } = this.#options;
    const { epoch } = meta;
    const command = readHello(hello, this.#info.principal);
    const signal = anySignal(this.#info.signal, this.#ended.signal);
    const { requestId, log } = this.#info;
    const known = cache.view.hosts.get(command.id);
    const origin = originOf(hello, known, meta);
    if (origin === 'elsewhere') throw new WeftError(clusterDiffers(command.name, hello, meta));
    // It may run what this state does not have, and says so once.
    const declare = origin === 'before' && known?.declaredEpoch !== epoch;
    this.#isAsked = declare;
    const { result: host } = await committer.run(
      (context) => registerHost(context, { ...command, declaredEpoch: declare ? undefined : epoch }),
      { requestId, signal },
    );
    signal.throwIfAborted();
    // Known to every controller before the host is told: its requests may go to any of them.
    const session = randomUUID();
    const holding: Holding = {
      ...{ hostId: host.id, session, requestId, signal },
      onReplaced: () => {
        this.#fail(
          new WeftError({
            reason: 'SESSION_STALE',
            message: `host ${host.name} has opened a newer stream, or was shut out`,
          }),
        );
      },
    };
    const isFenced = (await leases.hold(holding)) === 'fenced';
    this.#reports = new Reports({
      ...{ cache, committer, hostId: host.id, signal, log },
      isInSync: () => (this.#session?.ackedRevision ?? 0n) > 0n,
    });
    this.#session = fanout.open({
      ...{ id: session, host },
      ...{ declare, held: declare || isFenced },
      resume: this.#takeResume(),
      stream: this.#toSessionStream(),
      onBroken: (error) => {
        this.#fail(error);
      },
    });
    log.info(
      { host: host.name, hostId: host.id, vtep: host.vtep, number: host.number, session: this.#session.id, declare },
      'host connected',
    );
    if (declare) {
      const declaration = await this.#untilDeclared();
      if (declaration === undefined) return;
      await takeDeclaration(declaration, {
        ...{ cache, committer, host, before: hello.epoch, meta, requestId, signal, log },
      });
      if (!isFenced) this.#session.begin();
    }
    if (isFenced) await this.#readmit(this.#session, holding);
    await this.#over.promise;
    log.info({ host: host.name, session: this.#session.id }, 'host disconnected');
  }

  /**
   * Takes back a host that was fenced: when nothing of what it had is its own any more, and its kernel has nothing of
   * that either. Then its sandboxes ask for what they need as for something new.
   */
  async #readmit(session: Session, holding: Holding): Promise<void> {
    const { cache, fanout, leases } = this.#options;
    const { host } = session;
    this.#info.log.warn({ host: host.name, incarnation: host.incarnation }, 'a host is back that was shut out');
    const isCollected = (): boolean => cache.view.endpointsOn(host.id).size === 0;
    if (!(await this.#until(isCollected, (look) => cache.subscribe(look)))) return;
    session.begin();
    const isClear = (): boolean => session.ackedRevision > 0n && session.openRevision === undefined;
    if (!(await this.#until(isClear, (look) => fanout.onProgress(look)))) return;
    await leases.readmit(holding);
    this.#info.log.info(
      { host: host.name, session: session.id },
      'a host that was shut out is one of the cluster again',
    );
  }

  /** Whether it came to be before the stream was over; `listen` says when to look. */
  async #until(isSo: () => boolean, listen: (look: () => void) => Disposable): Promise<boolean> {
    const reached: Deferred<true> = deferred();
    const look = (): void => {
      if (isSo()) reached.resolve(true);
    };
    using _listening = listen(look);
    look();
    return (await Promise.race([reached.promise, this.#over.promise])) === true;
  }

  #takeResume(): Resume | undefined {
    const resume = this.#resume;
    this.#resume = undefined;
    return resume;
  }

  /** What the host says it runs; undefined: it has ended the stream. */
  async #untilDeclared(): Promise<Declaration | undefined> {
    const impatience = setTimeout(() => {
      const problem = `it did not come within ${String(DECLARATION_MS / 1_000)} seconds`;
      this.#fail(new WeftError(invalid('declaration', problem)));
    }, DECLARATION_MS);
    try {
      return (await Promise.race([this.#declaration.promise, this.#over.promise])) ?? undefined;
    } finally {
      clearTimeout(impatience);
    }
  }

  /** Writes down where the host's routes lead, one after the other and in the end what it said last. */
  async #record(hostId: HostId): Promise<void> {
    const { committer } = this.#options;
    const { requestId, log } = this.#info;
    for (let next = this.#prefixes; next !== undefined; next = this.#prefixes) {
      const prefixes = next;
      this.#prefixes = undefined;
      try {
        const run = { requestId, signal: this.#ended.signal };
        await committer.run((context) => updateHost(context, { id: hostId, prefixes }), run);
      } catch (error) {
        if (this.#ended.signal.aborted) return;
        log.warn({ err: error }, "a host's routes could not be recorded; they are when it connects again");
      }
    }
    this.#recording = undefined;
  }

  #listen(): void {
    this.#stream.on('data', (request: SyncRequest) => {
      try {
        this.#receive(request);
      } catch (error) {
        this.#fail(error);
      }
    });
    this.#stream.on('drain', () => {
      this.#room?.resolve();
      this.#room = undefined;
    });
    const over = (): void => {
      this.#over.resolve();
    };
    this.#stream.once('end', over);
    this.#stream.once('cancelled', over);
    this.#stream.once('close', over);
    this.#stream.once('error', over);
    // Nobody may be waiting for these yet, or any more.
    this.#hello.promise.catch(() => undefined);
    this.#over.promise.catch(() => undefined);
  }

  #receive({ message }: SyncRequest): void {
    const session = this.#session;
    if (message?.$case === 'hello') {
      this.#resume = readResume(message.value, this.#options.meta);
      this.#hello.resolve({ ...message.value, resume: undefined });
      return;
    }
    if (session === undefined) throw new WeftError(invalid('hello', 'it comes first'));
    switch (message?.$case) {
      case 'ack':
        if (!session.acknowledge(message.value.revision, message.value.notices))
          this.#info.log.warn('an ack of what was never sent; ignored');
        this.#options.fanout.progressed();
        break;
      case 'nack':
        session.refuse(message.value.problems);
        this.#options.observer.refused();
        this.#info.log.warn(
          { host: session.host.name, revision: message.value.revision, problems: session.problems },
          'a host could not be brought to a revision',
        );
        this.#options.fanout.progressed();
        break;
      case 'report':
        this.#reports?.take(message.value);
        break;
      case 'declaration':
        // Of a host that was not asked, nothing is believed.
        if (this.#isAsked && message.value.epoch === this.#options.meta.epoch) this.#takePart(message.value);
        break;
      case 'prefixes': {
        const check = new Checker();
        this.#prefixes = readPrefixes(check, 'prefixes', message.value);
        check.done();
        this.#recording ??= this.#record(session.host.id);
        break;
      }
      default:
        // A message of a newer agent; what this controller does not know it cannot need.
        break;
    }
  }

  /** Keeps a part of the declaration until all are here. */
  #takePart(part: Declaration): void {
    if (this.#declared.push(part) > DECLARATION_PARTS) {
      throw new WeftError(invalid('declaration', `it has more than ${String(DECLARATION_PARTS)} parts`));
    }
    if (part.more) return;
    const parts = this.#declared.splice(0);
    this.#declaration.resolve({
      ...part,
      networks: parts.flatMap(({ networks }) => networks),
      endpoints: parts.flatMap(({ endpoints }) => endpoints),
    });
  }

  #toSessionStream(): SessionStream {
    return {
      write: (bytes) => this.#stream.write(bytes),
      drained: () => {
        if (this.#ended.signal.aborted) return Promise.reject(new Error('the stream has ended'));
        const room: Deferred<void> = (this.#room ??= deferred());
        return room.promise;
      },
      end: (reason) => {
        this.#fail(reason);
      },
    };
  }

  #fail(error: unknown): void {
    this.#over.reject(asError(error));
  }
}
