/**
 * What this process is writing, so that it is not read once more when the watch brings it: of all there is to a new
 * endpoint, reading it back costs most.
 *
 * An object here stands for the very bytes it was written as, and for nothing else. When the watch brings a value for
 * its key that is the same byte for byte, reading it would say the same again (what `readObject` makes of a value
 * depends on nothing but the bytes, and the revisions, which are taken from what the watch brings); any other value is
 * read. So it does not matter whether the commit went well, nor who wrote, nor in which order: nothing that is said
 * here can be wrong about the store, and what is forgotten is merely read.
 */
import type { Endpoint } from '../../core/model.js';
import type { KeyValue, Put } from '../store/store.js';
import { isEndpointPut, type ClusterObject } from './objects.js';

interface Writing {
  readonly value: Uint8Array;
  readonly endpoint: Endpoint;
}

/** Objects of which the last so many are kept, and at most twice as many: some batches' worth, a few megabytes. */
const KEEP = 8_192;

export class Foreseen {
  readonly #keep: number;
  #young = new Map<string, Writing>();
  #old = new Map<string, Writing>();

  constructor(keep = KEEP) {
    this.#keep = keep;
  }

  /** How many are kept. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Keeps what is about to be written. */
  add(puts: readonly Put[]): void {
    for (const put of puts) if (isEndpointPut(put)) this.#young.set(put.key, put);
    if (this.#young.size < this.#keep) return;
    // What was never seen again was not written, or was seen in a listing.
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** The object in an entry, where that is what was to be written; it is kept no longer. */
  take({ key, value, modRevision, createRevision }: KeyValue): ClusterObject | undefined {
    const young = this.#young.get(key);
    const writing = young ?? this.#old.get(key);
    if (writing === undefined || Buffer.compare(writing.value, value) !== 0) return undefined;
    (young === undefined ? this.#old : this.#young).delete(key);
    return { kind: 'endpoint', value: asStored(writing.endpoint, modRevision, createRevision) };
  }
}

/** The endpoint as the store has it. Field by field, for speed: see createEndpoint. */
function asStored(endpoint: Endpoint, revision: bigint, createRevision: bigint): Endpoint {
  return {
    id: endpoint.id,
    networkId: endpoint.networkId,
    hostId: endpoint.hostId,
    sandbox: endpoint.sandbox,
    name: endpoint.name,
    aliases: endpoint.aliases,
    addresses: endpoint.addresses,
    mac: endpoint.mac,
    labels: endpoint.labels,
    state: endpoint.state,
    revision,
    requestId: endpoint.requestId,
    createRevision,
    createTimeMs: endpoint.createTimeMs,
  };
}
