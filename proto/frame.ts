/**
 * A network's frame on the wire. A network may be more than a message can carry, so a frame comes in parts: bounded
 * ones, each of them encoded once, whoever it is for.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Snapshot } from '../core/fold.js';
import type { Endpoint, Network, Peer } from '../core/model.js';
import {
  decodeEndpoint,
  decodeNetwork,
  decodePeer,
  encodeEndpoint,
  encodeNetwork,
  encodePeer,
  WireError,
} from './codec.js';
import { NetworkFrame } from './gen/weft/v1/agent_sync.js';

/** Bytes of a part, as long as no single thing in it is larger: what waits in a stream's buffers is about one of them. */
const PART_BYTES = 1024 * 1024;

/** SyncResponse.frame: field 2, with a length before it. */
const FRAME_TAG = (2 << 3) | 2;

const NOTHING: NetworkFrame = { revision: 0n, network: undefined, endpoints: [], peers: [], more: false };

/** A network in full, as of a revision. */
export interface Frame {
  readonly revision: bigint;
  readonly network: Network;
  readonly endpoints: Iterable<Endpoint>;
  readonly peers: Iterable<Peer>;
}

/** Things that are encoded together: one by one costs twice as much, and these are well below a part. */
const TOGETHER = 32;

/**
 * Complete SyncResponses, at least one, to be sent one right after the other. Messages of protobuf that stand one behind
 * the other are one message, so a few things at a time are encoded, and then put together as far as there is room.
 */
export function encodeFrame({ revision, network, endpoints, peers }: Frame, partBytes = PART_BYTES): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  const cut = (more: boolean): void => {
    const rest = NetworkFrame.encode({ ...NOTHING, revision, more }).finish();
    const head = new BinaryWriter().uint32(FRAME_TAG).uint32(bytes + rest.length);
    parts.push(Buffer.concat([head.finish(), ...pieces, rest]));
    pieces = [];
    bytes = 0;
  };
  const add = <T>(things: readonly T[], toFrame: (things: readonly T[]) => Partial<NetworkFrame>): void => {
    const piece = NetworkFrame.encode({ ...NOTHING, ...toFrame(things) }).finish();
    if (piece.length > partBytes && things.length > 1) {
      for (const thing of things) add([thing], toFrame);
      return;
    }
    if (bytes > 0 && bytes + piece.length > partBytes) cut(true);
    pieces.push(piece);
    bytes += piece.length;
  };
  add([network], () => ({ network: encodeNetwork(network) }));
  for (const some of inGroups(endpoints)) add(some, (these) => ({ endpoints: these.map(encodeEndpoint) }));
  for (const some of inGroups(peers)) add(some, (these) => ({ peers: these.map(encodePeer) }));
  cut(false);
  return parts;
}

function* inGroups<T>(things: Iterable<T>): Generator<readonly T[]> {
  let group: T[] = [];
  for (const thing of things) {
    group.push(thing);
    if (group.length < TOGETHER) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

interface Begun {
  readonly revision: bigint;
  readonly network: Network;
  readonly endpoints: Endpoint[];
  readonly peers: Peer[];
}

/** Puts the parts of one stream's frames together. */
export class FrameReader {
  #begun: Begun | undefined;

  /** The network whose frame has begun and is not complete: nothing but its next part may come. */
  get amid(): Network | undefined {
    return this.#begun?.network;
  }

  /** The network once its last part is here, undefined before. Throws WireError. */
  read(message: NetworkFrame): Snapshot | undefined {
    const { network, endpoints, peers } = this.#begin(message);
    for (const endpoint of message.endpoints) endpoints.push(decodeEndpoint(endpoint));
    for (const peer of message.peers) peers.push(decodePeer(peer));
    if (message.more) return undefined;
    this.#begun = undefined;
    return { kind: 'snapshot', network, endpoints, peers };
  }

  #begin({ revision, network }: NetworkFrame): Begun {
    // A first part has it, and a further one has not: neither is taken for the other.
    const begun = this.#begun;
    if (begun === undefined) {
      if (network === undefined) throw new WireError('frame.network', '');
      return (this.#begun = { revision, network: decodeNetwork(network), endpoints: [], peers: [] });
    }
    if (network !== undefined) throw new WireError('frame.network', network.id);
    if (revision !== begun.revision) throw new WireError('frame.revision', revision);
    return begun;
  }
}
