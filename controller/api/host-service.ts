/** HostService: see proto/weft/v1/host.proto. */
import type { Host, Problem } from '../../core/model.js';
import { encodeHost } from '../../proto/codec.js';
import {
  HostState,
  type GetHostRequest,
  type GetHostResponse,
  type Host as HostMessage,
  type HostServiceServer,
  type ListHostsRequest,
  type ListHostsResponse,
} from '../../proto/gen/weft/v1/host.js';
import type { Cache } from '../cache/cache.js';
import { NetworkSubnets, describeCollision } from '../domain/collisions.js';
import type { Fanout } from '../fanout/fanout.js';
import { readPage, takePage } from './page.js';
import { findHost, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface HostServiceOptions {
  readonly cache: Cache;
  readonly fanout: Fanout;
}

/** Collisions that a host's message names. */
const COLLISIONS = 20;

export function hostService(serve: Serve, { cache, fanout }: HostServiceOptions): HostServiceServer {
  return {
    get: serve.unary<GetHostRequest, GetHostResponse>('HostService/Get', async (request, { signal }) => {
      const check = new Checker();
      const reference = check.reference('host', request.host);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const [host] = toMessages(fanout, [findHost(view, reference)]);
      return { host, revision: view.revision };
    }),

    list: serve.unary<ListHostsRequest, ListHostsResponse>('HostService/List', async (request, { signal }) => {
      const check = new Checker();
      const page = readPage(check, request);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const { items, nextPageToken } = takePage(view.hosts.values(), page);
      return { hosts: toMessages(fanout, items), nextPageToken, revision: view.revision };
    }),
  };
}

/** Hosts as they are stored, with what only a running controller knows of them. */
export function toMessages(fanout: Fanout, hosts: readonly Host[]): HostMessage[] {
  const subnets = new NetworkSubnets(fanout.view);
  return hosts.map((host) => toMessage(fanout, host, subnets.collisionsOf(host, COLLISIONS).map(describeCollision)));
}

function toMessage(fanout: Fanout, host: Host, collisions: readonly Problem[]): HostMessage {
  const session = fanout.sessionOf(host.id);
  const isAlive = fanout.view.alive.has(host.id);
  const state = isAlive ? HostState.HOST_STATE_READY : HostState.HOST_STATE_UNREACHABLE;
  const message = { ...encodeHost(host), state };
  if (session === undefined) return { ...message, problems: [...collisions] };
  return {
    ...message,
    // With nothing open, it has everything there is.
    ackedRevision: session.openRevision === undefined ? fanout.view.revision : session.ackedRevision,
    problems: [...session.problems, ...collisions].map((problem) => ({ ...problem })),
  };
}
