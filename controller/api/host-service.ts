/** HostService: see proto/weft/v1/host.proto. */
import type { Host } from '../../core/model.js';
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
import type { Fanout } from '../fanout/fanout.js';
import { readPage, takePage } from './page.js';
import { findHost, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface HostServiceOptions {
  readonly cache: Cache;
  readonly fanout: Fanout;
}

export function hostService(serve: Serve, { cache, fanout }: HostServiceOptions): HostServiceServer {
  return {
    get: serve.unary<GetHostRequest, GetHostResponse>('HostService/Get', async (request, { signal }) => {
      const check = new Checker();
      const reference = check.reference('host', request.host);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      return { host: toMessage(fanout, findHost(view, reference)), revision: view.revision };
    }),

    list: serve.unary<ListHostsRequest, ListHostsResponse>('HostService/List', async (request, { signal }) => {
      const check = new Checker();
      const page = readPage(check, request);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const { items, nextPageToken } = takePage(view.hosts.values(), page);
      return { hosts: items.map((host) => toMessage(fanout, host)), nextPageToken, revision: view.revision };
    }),
  };
}

/** A host as it is stored, with what only a running controller knows of it. */
export function toMessage(fanout: Fanout, host: Host): HostMessage {
  const session = fanout.sessionOf(host.id);
  const message = encodeHost(host);
  if (session === undefined) return { ...message, state: HostState.HOST_STATE_UNREACHABLE };
  return {
    ...message,
    state: HostState.HOST_STATE_READY,
    // With nothing open, it has everything there is.
    ackedRevision: session.openRevision === undefined ? fanout.view.revision : session.ackedRevision,
    problems: session.problems.map((problem) => ({ ...problem })),
  };
}
