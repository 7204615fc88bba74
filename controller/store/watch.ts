/**
 * A watch that loses nothing: one raw etcd stream at a time, and after any break a new one from the revision after the
 * last event that was handed out. (etcd3's own watcher resumes from the store's current revision and so skips what it
 * had not been sent yet; its refused watches block all later ones.)
 *
 * Memory is bounded by the stream's own flow control: nothing is read ahead of the consumer but what grpc-js buffers,
 * 16 answers. etcd keeps the rest as history, in at most 1,000 revisions an answer.
 */
import type { IEvent, IKeyValue, IWatchResponse } from 'etcd3';
import { step } from '../../core/fault.js';
import { backoffMs, pause } from '../../core/lifetime.js';
import { rangeOfPrefix, toKeyValue } from './etcd-codec.js';
import type { EtcdConnection } from './etcd-connection.js';
import {
  Compacted,
  StoreRefused,
  StoreUnavailable,
  type KeyValue,
  type StoreEvent,
  type WatchBatch,
  type WatchOptions,
} from './store.js';

/** What one stream is asked for. */
interface WatchRequest {
  readonly prefix: string;
  readonly next: bigint;
  readonly previous: boolean;
}

/**
 * See Store.watch. Equivalent to `etcdctl watch --prefix --rev=<from> [--prev-kv] <prefix>`, repeated after each break.
 */
export async function* watch(connection: EtcdConnection, options: WatchOptions): AsyncGenerator<WatchBatch> {
  const { prefix, from, signal, previous = false } = options;
  if (from < 1n) throw new RangeError(`no revision ${String(from)}: the first is 1`);
  // Asked afresh each time: it changes during every await.
  const over = (): boolean => signal.aborted;
  let next = from;
  for (let failures = 0; !over(); failures += 1) {
    using opened = await connection.openWatch();
    // Nobody listens for that yet.
    if (over()) return;
    const request = { prefix, next, previous, signal, patienceMs: connection.callTimeoutMs };
    for await (const response of responses(opened, request)) {
      // Asked again from there, etcd says from where on there is history.
      if (previous && lacksPrevious(response.events, next)) break;
      failures = 0;
      for (const batch of batchesOf(response.events, next)) {
        next = batch.revision + 1n;
        step('etcd');
        yield batch;
        if (over()) return;
      }
    }
    if (over()) return;
    if (connection.closed) throw new StoreUnavailable('the store is closed');
    const reason = opened.failure();
    if (reason instanceof StoreRefused) throw reason;
    await pause(backoffMs(failures, 20, 1_000), signal);
  }
}

/** Sorts events into batches of one revision each, leaving out revisions before `next`. Pure. */
function batchesOf(events: readonly IEvent[], next: bigint): WatchBatch[] {
  const batches: { readonly revision: bigint; readonly events: StoreEvent[] }[] = [];
  for (const { type, kv, prev_kv } of events) {
    const revision = BigInt(kv.mod_revision);
    if (revision < next) continue;
    const previous = toPrevious(prev_kv);
    const event: StoreEvent =
      type === 'Delete'
        ? { kind: 'delete', key: kv.key.toString(), ...previous }
        : { kind: 'put', entry: toKeyValue(kv), ...previous };
    const last = batches.at(-1);
    if (last?.revision === revision) last.events.push(event);
    else batches.push({ revision, events: [event] });
  }
  return batches;
}

function toPrevious(kv: IKeyValue | null | undefined): { readonly previous?: KeyValue } {
  return kv === null || kv === undefined ? {} : { previous: toKeyValue(kv) };
}

/**
 * Whether an event that must have had a value before comes without: etcd looks it up when it sends the event, and leaves
 * it out where history was compacted meanwhile. Pure.
 */
function lacksPrevious(events: readonly IEvent[], next: bigint): boolean {
  return events.some(({ type, kv, prev_kv }) => {
    if (toPrevious(prev_kv).previous !== undefined || BigInt(kv.mod_revision) < next) return false;
    return type === 'Delete' || kv.create_revision !== kv.mod_revision;
  });
}

/** The answers on one stream that carry events, until it breaks. */
async function* responses(
  opened: Awaited<ReturnType<EtcdConnection['openWatch']>>,
  options: WatchRequest & { readonly signal: AbortSignal; readonly patienceMs: number },
): AsyncGenerator<IWatchResponse> {
  const { signal } = options;
  const end = (): void => {
    opened[Symbol.dispose]();
  };
  signal.addEventListener('abort', end, { once: true });
  // A stream has no deadline, so its beginning gets one.
  const impatience = setTimeout(opened.givenUp, options.patienceMs);
  try {
    opened.stream.write({ create_request: createRequest(options) });
    for await (const answer of opened.stream as AsyncIterable<IWatchResponse>) {
      clearTimeout(impatience);
      if (answer.canceled) {
        const refusal = refusalOf(answer);
        if (refusal !== undefined) throw refusal;
        return;
      }
      if (answer.events.length > 0) yield answer;
    }
  } finally {
    clearTimeout(impatience);
    signal.removeEventListener('abort', end);
  }
}

/**
 * Asks from one revision earlier than is wanted. A watch from exactly the compacted revision is granted, and misses a
 * delete that happened at it (https://github.com/etcd-io/etcd/issues/19179, not repaired in 3.4); this way it is
 * refused as compacted.
 */
function createRequest({ prefix, next, previous }: WatchRequest) {
  const start_revision = String(next > 1n ? next - 1n : next);
  return { ...rangeOfPrefix(prefix), start_revision, ...(previous ? { prev_kv: true } : {}) };
}

/** Why etcd ended a watch for good; undefined where a new one may be granted. */
function refusalOf(answer: IWatchResponse): Error | undefined {
  const compactRevision = BigInt(answer.compact_revision);
  if (compactRevision > 0n) return new Compacted(compactRevision);
  return answer.created ? new StoreRefused(`etcd refused a watch: ${answer.cancel_reason}`) : undefined;
}
