/** What clients are told of a revision: one event for each object that it changed. Pure. */
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { encodeEndpoint, encodeHost, encodeNetwork } from '../../proto/codec.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { EventType, ObjectKind, WatchResponse, type Event } from '../../proto/gen/weft/v1/watch.js';
import type { ChangeSet, ObjectChange, View } from '../cache/view.js';

/** One event, encoded once for everybody who wants it. */
export interface ToldEvent {
  readonly kind: ObjectKind;
  /** Undefined: it is about no network. */
  readonly networkId: NetworkId | undefined;
  readonly hostId: HostId | undefined;
  /** A WatchResponse with nothing but this event: several, one behind the other, are one with all of theirs. */
  readonly bytes: Uint8Array;
}

/** Which events somebody wants: all conditions must hold; undefined lets all through. */
export interface EventFilter {
  readonly kinds: ReadonlySet<ObjectKind> | undefined;
  readonly networkId: NetworkId | undefined;
  readonly hostId: HostId | undefined;
}

/** What is known of hosts right after a revision. */
export type HostsThen = Pick<View, 'hosts' | 'alive'>;

export function isWanted({ kind, networkId, hostId }: Omit<ToldEvent, 'bytes'>, filter: EventFilter): boolean {
  return (
    (filter.kinds === undefined || filter.kinds.has(kind)) &&
    (filter.networkId === undefined || filter.networkId === networkId) &&
    (filter.hostId === undefined || filter.hostId === hostId)
  );
}

/** Everything to tell of a revision, in the order of its changes. `hosts`: as of right after it. */
export function eventsOf({ revision, changes }: ChangeSet, hosts: HostsThen): ToldEvent[] {
  const events: ToldEvent[] = [];
  const tell = (told: ToldEvent | undefined): void => {
    if (told !== undefined) events.push(told);
  };
  const hostsTold = new Set<HostId>();
  for (const change of changes) {
    if (change.kind === 'network') tell(networkEvent(revision, change));
    else if (change.kind === 'endpoint') tell(endpointEvent(revision, change));
    else if (change.kind === 'host' || change.kind === 'alive') {
      const id = hostOf(change);
      if (id === undefined || hostsTold.has(id)) continue;
      hostsTold.add(id);
      tell(hostEvent(revision, stepOf(id, changes, hosts)));
    }
  }
  return events;
}

interface Step<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

function networkEvent(revision: bigint, { before, after }: Step<Network>): ToldEvent | undefined {
  const network = after ?? before;
  if (network === undefined) return undefined;
  const object = { $case: 'network', value: encodeNetwork(network) } as const;
  const about = { kind: ObjectKind.OBJECT_KIND_NETWORK, networkId: network.id, hostId: undefined };
  return { ...about, bytes: encode({ revision, type: typeOf({ before, after }), object }) };
}

function endpointEvent(revision: bigint, { before, after }: Step<Endpoint>): ToldEvent | undefined {
  const endpoint = after ?? before;
  if (endpoint === undefined) return undefined;
  const { networkId, hostId } = endpoint;
  const object = { $case: 'endpoint', value: encodeEndpoint(endpoint) } as const;
  const about = { kind: ObjectKind.OBJECT_KIND_ENDPOINT, networkId, hostId };
  return { ...about, bytes: encode({ revision, type: typeOf({ before, after }), object }) };
}

/** A host, and whether the cluster heard from it. */
interface HostMoment {
  readonly host: Host;
  readonly isAlive: boolean;
}

function hostEvent(revision: bigint, { before, after }: Step<HostMoment>): ToldEvent | undefined {
  const shown = after ?? before;
  if (shown === undefined) return undefined;
  // A stream at another controller, or a newer one, is nothing that a client sees of the host.
  if (before?.host === after?.host && before?.isAlive === after?.isAlive) return undefined;
  const { host, isAlive } = shown;
  const state = isAlive ? HostState.HOST_STATE_READY : HostState.HOST_STATE_UNREACHABLE;
  const object = { $case: 'host', value: { ...encodeHost(host), state } } as const;
  const about = { kind: ObjectKind.OBJECT_KIND_HOST, networkId: undefined, hostId: host.id };
  return { ...about, bytes: encode({ revision, type: typeOf({ before, after }), object }) };
}

/** What a revision did to a host, both by what is stored of it and by whether it is heard from. */
function stepOf(id: HostId, changes: readonly ObjectChange[], { hosts, alive }: HostsThen): Step<HostMoment> {
  let before = hosts.get(id);
  let wasAlive = alive.has(id);
  for (const change of changes) {
    if (change.kind === 'host' && hostOf(change) === id) before = change.before;
    if (change.kind === 'alive' && hostOf(change) === id) wasAlive = change.before !== undefined;
  }
  const after = hosts.get(id);
  return {
    before: before === undefined ? undefined : { host: before, isAlive: wasAlive },
    after: after === undefined ? undefined : { host: after, isAlive: alive.has(id) },
  };
}

function hostOf(change: Extract<ObjectChange, { readonly kind: 'host' | 'alive' }>): HostId | undefined {
  if (change.kind === 'host') return (change.after ?? change.before)?.id;
  return (change.after ?? change.before)?.hostId;
}

function typeOf({ before, after }: Step<object>): EventType {
  if (before === undefined) return EventType.EVENT_TYPE_CREATED;
  return after === undefined ? EventType.EVENT_TYPE_DELETED : EventType.EVENT_TYPE_UPDATED;
}

function encode(event: Event): Uint8Array {
  return WatchResponse.encode({ events: [event], bookmark: 0n, epoch: '' }).finish();
}
