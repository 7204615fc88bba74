/** For tests: a host at the other end of a stream, which folds what it is told as an agent does. */
import { DIGEST_FORMAT, bucketCountFor, digestsOf } from '../../core/digest.js';
import { fold, type Change, type HostView, type Snapshot } from '../../core/fold.js';
import { decodeChange, decodeDrop } from '../../proto/codec.js';
import { FrameReader } from '../../proto/frame.js';
import { SyncResponse } from '../../proto/gen/weft/v1/agent_sync.js';
import { decodeReplacement } from '../../proto/replacement.js';
import type { Resume } from './resume.js';
import type { SessionStream } from './session.js';

/** What a host that has `view` says of it. */
export function resumeOf(view: HostView): Resume {
  return new Map(
    [...view].map(([id, known]) => {
      const count = bucketCountFor(known.endpoints.size + known.peers.size);
      return [id, { revision: known.network.revision, digests: digestsOf(known, count) }];
    }),
  );
}

/** Takes everything at once, as long as it hears. */
export class Follower implements SessionStream {
  /** As of the last InSync. */
  view: HostView;
  revision = 0n;
  /** How many of those this stream has had. */
  inSyncs = 0;
  /** Of messages besides Welcome and InSync, and their kinds. */
  bytes = 0;
  readonly kinds: string[] = [];
  readonly messages: Uint8Array[] = [];
  #batch: (Snapshot | Change)[] = [];
  readonly #frames = new FrameReader();
  readonly #offered: HostView | undefined;

  #hears: number;

  /**
   * @param offered what the host has and said so
   * @param hears messages that arrive; what is sent after them is lost on the way
   */
  constructor(offered?: HostView, hears = Infinity) {
    this.#hears = hears;
    this.#offered = offered;
    this.view = offered ?? new Map();
  }

  write(bytes: Uint8Array): boolean {
    this.#hears -= 1;
    if (this.#hears < 0) return true;
    const { message } = SyncResponse.decode(bytes);
    if (message?.$case === 'welcome') {
      const { resumed, format } = message.value;
      if (resumed !== (this.#offered !== undefined) || format !== DIGEST_FORMAT)
        throw new Error('not as it was offered');
      return true;
    }
    if (message?.$case === 'inSync') {
      this.view = fold(this.view, this.#batch.splice(0));
      this.revision = message.value.revision;
      this.inSyncs += 1;
      return true;
    }
    this.bytes += bytes.length;
    this.messages.push(bytes);
    if (message !== undefined) this.kinds.push(message.$case);
    const framed = message?.$case === 'frame' ? this.#frames.read(message.value) : undefined;
    if (framed !== undefined) this.#batch.push(framed);
    if (message?.$case === 'change') this.#batch.push(decodeChange(message.value));
    if (message?.$case === 'drop') this.#batch.push(decodeDrop(message.value));
    if (message?.$case === 'replacement') this.#batch.push(decodeReplacement(message.value));
    return true;
  }

  get isDeaf(): boolean {
    return this.#hears <= 0;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {
    // The test ends it.
  }
}

/** A view in a form that is equal where the views are, in whichever order their things came. */
export function plain(view: HostView): unknown {
  const sorted = <T>(map: ReadonlyMap<string, T>): (readonly [string, T])[] =>
    [...map].sort(([one], [other]) => (one < other ? -1 : 1));
  return sorted(view).map(([id, { network, endpoints, peers }]) => [id, network, sorted(endpoints), sorted(peers)]);
}
