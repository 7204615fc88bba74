/** What one sync stream has told so far: messages in, the view as of each InSync out. No I/O. */
import { fold, type Change, type HostView, type Snapshot } from '../../core/fold.js';
import { decodeChange, decodeDrop } from '../../proto/codec.js';
import { FrameReader } from '../../proto/frame.js';
import { decodeReplacement } from '../../proto/replacement.js';
import type { SyncResponse, Welcome } from '../../proto/gen/weft/v1/agent_sync.js';
import type { Known } from '../state/settled.js';
import { Unreachable } from './unreachable.js';

/** What a message amounts to: nothing yet, the stream's acceptance, or a view in sync. */
export type StreamEvent =
  | { readonly kind: 'none' }
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  /** `requestIds`: whose changes it brings, as far as they say so; none with a stream's first view. `format`: see Welcome. */
  | { readonly kind: 'known'; readonly known: Known; readonly requestIds: readonly string[]; readonly format: number };

/** A message out of its turn. */
class StreamError extends Error {
  override readonly name = 'StreamError';
}

const NONE: StreamEvent = { kind: 'none' };

/** Begins from nothing with each stream, or, where the controller says so, from what its hello said is there. */
export class StreamReader {
  #welcome: Welcome | undefined;
  #view: HostView = new Map();
  #offered: HostView | undefined;
  #batch: (Snapshot | Change)[] = [];
  readonly #frames = new FrameReader();
  readonly #unreachable = new Unreachable();
  /** As of the last InSync. */
  #known: Known | undefined;

  /** @param offered the networks that the hello gave digests of */
  constructor(offered?: HostView) {
    this.#offered = offered;
  }

  /** Throws WireError, UnknownNetwork and StreamError: the two sides disagree, and the stream must begin anew. */
  read({ message }: SyncResponse): StreamEvent {
    // A network of which a part was lost must not be taken for whole.
    const { amid } = this.#frames;
    if (amid !== undefined && message?.$case !== 'frame') {
      throw new StreamError(`${message?.$case ?? 'something'} came amid the frame of network ${amid.id}`);
    }
    switch (message?.$case) {
      case 'welcome':
        this.#begin(message.value);
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
      case 'replacement':
        this.#batch.push(decodeReplacement(message.value));
        return NONE;
      case 'inSync': {
        if (this.#welcome === undefined) throw new StreamError('InSync came before Welcome');
        const { session, clusterId, epoch, incarnation, format } = this.#welcome;
        this.#view = fold(this.#view, this.#batch);
        this.#unreachable.keepPeersOf(this.#view);
        const requestIds = requestIdsOf(this.#batch);
        this.#batch = [];
        const { revision } = message.value;
        const unreachable = this.#unreachable.hosts;
        this.#known = { view: this.#view, unreachable, revision, clusterId, epoch, incarnation, session };
        return { kind: 'known', known: this.#known, format, requestIds };
      }
      case 'liveness': {
        // At once, also amid a batch: whom to send nobody to does not wait for what else there is to say.
        this.#unreachable.take(message.value);
        if (this.#known === undefined || this.#welcome === undefined) return NONE;
        this.#known = { ...this.#known, unreachable: this.#unreachable.hosts };
        return { kind: 'known', known: this.#known, format: this.#welcome.format, requestIds: [] };
      }
      case undefined:
        // A newer controller may say what this agent does not understand, and does not need.
        return NONE;
    }
  }

  #begin(welcome: Welcome): void {
    this.#welcome = welcome;
    if (welcome.resumed) {
      if (this.#offered === undefined) throw new StreamError('the controller resumes what was never offered');
      this.#view = this.#offered;
    }
    this.#offered = undefined;
  }
}

function requestIdsOf(batch: readonly (Snapshot | Change)[]): string[] {
  const changes = batch.flatMap((item) => (item.kind === 'change' ? [item.network, ...item.putEndpoints] : []));
  return [...new Set(changes.flatMap((changed) => changed?.requestId ?? []))];
}
