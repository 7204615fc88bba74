/** WatchService: see proto/weft/v1/watch.proto. */
import { WeftError } from '../../core/errors.js';
import { parseHostId, parseNetworkId } from '../../core/ids.js';
import {
  ObjectKind,
  WatchResponse,
  WatchServiceService,
  type WatchRequest,
  type WatchServiceServer,
} from '../../proto/gen/weft/v1/watch.js';
import type { Cache } from '../cache/cache.js';
import type { View } from '../cache/view.js';
import type { EventFilter } from '../events/event.js';
import { EPOCH_OVER, type Events } from '../events/events.js';
import { historyCompacted } from '../events/past.js';
import type { Meta } from '../meta.js';
import { findHost, findNetwork, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface WatchServiceOptions {
  readonly cache: Cache;
  readonly events: Events;
  readonly meta: Pick<Meta, 'epoch' | 'formerEpochs' | 'metaRevision'>;
}

/** What goes out is bytes already: an event is encoded once for all who want it. */
type Outgoing = WatchResponse | Uint8Array;

/** The service, with a serializer that lets encoded messages through. */
export const WATCH_DEFINITION = {
  watch: {
    ...WatchServiceService.watch,
    responseSerialize: (value: Outgoing): Buffer => {
      const bytes = value instanceof Uint8Array ? value : WatchResponse.encode(value).finish();
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
  },
} as const;

export function watchService(serve: Serve, { cache, events, meta }: WatchServiceOptions): WatchServiceServer {
  return {
    watch: serve.serverStream<WatchRequest, Outgoing>(
      'WatchService/Watch',
      async function* (request, { signal }) {
        const check = new Checker();
        const from = check.revision('from_revision', request.fromRevision);
        const kinds = readKinds(check, request.kinds);
        const network = request.network === '' ? undefined : check.reference('network', request.network);
        const host = request.host === '' ? undefined : check.reference('host', request.host);
        check.done();
        assertEpoch(request.epoch, meta);
        // Whoever comes from another controller knows what may not have come here yet.
        const view = await viewAt(cache, from > 0n ? from - 1n : 0n, signal);
        assertKept(from, meta);
        const filter: EventFilter = {
          kinds,
          networkId: network === undefined ? undefined : networkIdOf(view, network),
          hostId: host === undefined ? undefined : hostIdOf(view, host),
        };
        const { untilNow } = request;
        yield* events.watch({ from: from > 0n ? from : view.revision + 1n, filter, untilNow, signal });
      },
      'watch',
    ),
  };
}

const KINDS: ReadonlySet<ObjectKind> = new Set([
  ObjectKind.OBJECT_KIND_NETWORK,
  ObjectKind.OBJECT_KIND_ENDPOINT,
  ObjectKind.OBJECT_KIND_HOST,
]);

function readKinds(check: Checker, kinds: readonly ObjectKind[]): ReadonlySet<ObjectKind> | undefined {
  for (const [index, kind] of check.bounded('kinds', 'kinds', kinds).entries()) {
    if (!KINDS.has(kind)) check.refuse(`kinds[${String(index)}]`, `${String(kind)} is no kind of object`);
  }
  return kinds.length === 0 ? undefined : new Set(kinds);
}

/** What is gone has still happened: an id need not be anybody's any more. Throws WeftError NETWORK_NOT_FOUND for a name. */
function networkIdOf(view: View, reference: string): EventFilter['networkId'] {
  return parseNetworkId(reference) ?? findNetwork(view, reference).id;
}

/** Likewise; throws WeftError HOST_NOT_FOUND. */
function hostIdOf(view: View, reference: string): EventFilter['hostId'] {
  return parseHostId(reference) ?? findHost(view, reference).id;
}

/** Throws WeftError EPOCH_DIFFERS. */
function assertEpoch(epoch: string, meta: WatchServiceOptions['meta']): void {
  if (epoch !== '' && epoch !== meta.epoch) throw new WeftError(EPOCH_OVER);
}

/** Throws WeftError HISTORY_COMPACTED for what happened before a restore: that is the history of another state. */
function assertKept(from: bigint, { formerEpochs, metaRevision }: WatchServiceOptions['meta']): void {
  if (from > 0n && from <= metaRevision && formerEpochs.length > 0) {
    throw new WeftError(historyCompacted(metaRevision + 1n));
  }
}
