/** HostService: see proto/weft/v1/host.proto. */
import type {
  GetHostRequest,
  GetHostResponse,
  HostServiceServer,
  ListHostsRequest,
  ListHostsResponse,
} from '../../proto/gen/weft/v1/host.js';
import type { Cache } from '../cache/cache.js';
import type { Convergence } from '../fanout/convergence.js';
import { toMessages } from './host-messages.js';
import { readPage, takePage } from './page.js';
import { findHost, viewAt } from './reads.js';
import type { Serve } from './serve.js';
import { Checker } from './validate.js';

export interface HostServiceOptions {
  readonly cache: Cache;
  readonly convergence: Convergence;
}

export function hostService(serve: Serve, { cache, convergence }: HostServiceOptions): HostServiceServer {
  return {
    get: serve.unary<GetHostRequest, GetHostResponse>('HostService/Get', async (request, { signal }) => {
      const check = new Checker();
      const reference = check.reference('host', request.host);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const [host] = await toMessages(convergence, [findHost(view, reference)], signal);
      return { host, revision: view.revision };
    }),

    list: serve.unary<ListHostsRequest, ListHostsResponse>('HostService/List', async (request, { signal }) => {
      const check = new Checker();
      const page = readPage(check, request);
      const minRevision = check.revision('min_revision', request.minRevision);
      check.done();
      const view = await viewAt(cache, minRevision, signal);
      const { items, nextPageToken } = takePage(view.hosts.values(), page);
      return { hosts: await toMessages(convergence, items, signal), nextPageToken, revision: view.revision };
    }),
  };
}
