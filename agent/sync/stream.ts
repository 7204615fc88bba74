/** What one sync stream has told so far: messages in, the view as of each InSync out. No I/O. */
import { fold, type Change, type HostView, type Snapshot } from '../../core/fold.js';
import { decodeChange, decodeDrop } from '../../proto/codec.js';
import { FrameReader } from '../../proto/frame.js';
import type { SyncResponse, Welcome } from '../../proto/gen/weft/v1/agent_sync.js';
import type { Known } from '../state/settled.js';

/** What a message amounts to: nothing yet, the stream's acceptance, or a view in sync. */
export type StreamEvent =
  | { readonly kind: 'none' }
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  /** `requestIds`: whose changes it brings, as far as they say so; none with a stream's first view. */
  | { readonly kind: 'known'; readonly known: Known; readonly requestIds: readonly string[] };

/** A message out of its turn. */
class StreamError extends Error {
  override readonly name = 'StreamError';
}

const NONE: StreamEvent = { kind: 'none' };

/** Begins from nothing with each stream: a network that is not framed again is gone. */
export class StreamReader {
  #welcome: Welcome | undefined;
  #view: HostView = new Map();
  #batch: (Snapshot | Change)[] = [];
  readonly #frames = new FrameReader();

  /** Throws WireError, UnknownNetwork and StreamError: the two sides disagree, and the stream must begin anew. */
  read({ message }: SyncResponse): StreamEvent {
    // A network of which a part was lost must not be taken for whole.
    const { amid } = this.#frames;
    if (amid !== undefined && message?.$case !== 'frame') {
      throw new StreamError(`${message?.$case ?? 'something'} came amid the frame of network ${amid.id}`);
    }
    switch (message?.$case) {
      case 'welcome':
        this.#welcome = message.value;
        return { kind: 'welcome', welcome: message.value };
      case 'frame': {
        const snapshot = this.#frames.read(message.value);
        if (snapshot !== undefined) this.#batch.push(snapshot);
        return NONE;
      }
      case 'change':
        this.#batch.push(decodeChange(message.value));
        return NONE;
      case 'drop':
        this.#batch.push(decodeDrop(message.value));
        return NONE;
      case 'inSync': {
        if (this.#welcome === undefined) throw new StreamError('InSync came before Welcome');
        const { session, clusterId, epoch } = this.#welcome;
        this.#view = fold(this.#view, this.#batch);
        const requestIds = requestIdsOf(this.#batch);
        this.#batch = [];
        return {
          kind: 'known',
          known: { view: this.#view, revision: message.value.revision, clusterId, epoch, session },
          requestIds,
        };
      }
      case 'liveness':
      case undefined:
        // A newer controller may say what this agent does not understand, and does not need.
        return NONE;
    }
  }
}

function requestIdsOf(batch: readonly (Snapshot | Change)[]): string[] {
  const changes = batch.flatMap((item) => (item.kind === 'change' ? [item.network, ...item.putEndpoints] : []));
  return [...new Set(changes.flatMap((changed) => changed?.requestId ?? []))];
}
