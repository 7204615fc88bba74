/** Events as they travel: the bytes they are encoded in already, put together. Pure. */
import { WatchResponse } from '../../proto/gen/weft/v1/watch.js';
import type { ToldEvent } from './event.js';

/** Bytes of one message, at most by one event's more: gRPC's clients take 4 MiB unless told otherwise. */
const MESSAGE_BYTES = 1024 * 1024;

/** Everything wanted up to and with a revision. */
export interface Told {
  readonly events: readonly ToldEvent[];
  readonly upTo: bigint;
}

/** One message or several, of which the last has the bookmark; none where there are no events. */
export function messagesOf({ events, upTo }: Told, epoch: string): Uint8Array[] {
  if (events.length === 0) return [];
  const messages: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for (const event of events) {
    if (bytes + event.bytes.length > MESSAGE_BYTES && parts.length > 0) {
      messages.push(Buffer.concat(parts));
      parts = [];
      bytes = 0;
    }
    parts.push(event.bytes);
    bytes += event.bytes.length;
  }
  messages.push(Buffer.concat([...parts, bookmarkAt(upTo, epoch)]));
  return messages;
}

/** A message that says only how far everything has been told. */
export function bookmarkAt(revision: bigint, epoch: string): Uint8Array {
  return WatchResponse.encode({ events: [], bookmark: revision, epoch }).finish();
}
