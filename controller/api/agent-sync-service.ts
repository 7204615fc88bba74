/** AgentSyncService: see proto/weft/v1/agent_sync.proto. One host's stream, from hello to its end. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { WeftError, invalid } from '../../core/errors.js';
import { parseHostId } from '../../core/ids.js';
import { anySignal, deferred, type Deferred } from '../../core/lifetime.js';
import { isName } from '../../core/name.js';
import { objectionToRange } from '../../core/special-range.js';
import {
  AgentSyncServiceService,
  SyncResponse,
  type AgentSyncServiceServer,
  type Hello,
  type SyncRequest,
} from '../../proto/gen/weft/v1/agent_sync.js';
import type { Cache } from '../cache/cache.js';
import type { Committer } from '../commit.js';
import { registerHost, type RegisterHost } from '../domain/host.js';
import type { Fanout } from '../fanout/fanout.js';
import type { Session, SessionStream } from '../fanout/session.js';
import type { Principal } from '../identity/principal.js';
import { Reports } from './reports.js';
import type { CallInfo, Serve } from './serve.js';
import { Checker, quote } from './validate.js';

export interface AgentSyncServiceOptions {
  readonly cache: Cache;
  readonly committer: Committer;
  readonly fanout: Fanout;
  readonly observer: SyncObserver;
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

/** Milliseconds in which an agent says hello. */
const HELLO_MS = 10_000;

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
    }
  }

  async #follow(hello: Hello): Promise<void> {
    const { committer, cache, fanout } = this.#options;
    const command = readHello(hello, this.#info.principal);
    const signal = anySignal(this.#info.signal, this.#ended.signal);
    const { requestId, log } = this.#info;
    const { result: host } = await committer.run((context) => registerHost(context, command), { requestId, signal });
    signal.throwIfAborted();
    this.#reports = new Reports({ cache, committer, hostId: host.id, signal, log });
    this.#session = fanout.open({
      host,
      stream: this.#toSessionStream(),
      onBroken: (error) => {
        this.#fail(error);
      },
    });
    log.info(
      { host: host.name, hostId: host.id, vtep: host.vtep, number: host.number, session: this.#session.id },
      'host connected',
    );
    await this.#over.promise;
    log.info({ host: host.name, session: this.#session.id }, 'host disconnected');
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
      this.#hello.resolve(message.value);
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
      default:
        // A message of a newer agent; what this controller does not know it cannot need.
        break;
    }
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
    this.#over.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

function readHello(hello: Hello, { name }: Principal): RegisterHost {
  const check = new Checker();
  const id = parseHostId(hello.hostId);
  if (id === undefined) check.refuse('hello.host_id', `${quote(hello.hostId)} is no UUID in lower case`);
  const vtep = check.ip('hello.vtep', hello.vtep);
  const objection = vtep === undefined ? undefined : objectionToRange(vtep);
  if (objection !== undefined) check.refuse('hello.vtep', `tunnel address ${hello.vtep} ${objection}`);
  if (!isName(name)) check.refuse('certificate', `${quote(name)} cannot be a host's name`);
  if (!/^[\x21-\x7e]{0,64}$/.test(hello.version))
    check.refuse('hello.version', `${quote(hello.version)} is no version`);
  check.done();
  if (id === undefined || vtep === undefined) throw new RangeError('a checked hello has both');
  return { id, name, vtep, version: hello.version };
}
