/** HostService: see proto/weft/v1/host.proto. */
import type {
  ActivateHostRequest,
  ActivateHostResponse,
  DeleteHostRequest,
  DeleteHostResponse,
  DrainHostRequest,
  DrainHostResponse,
  GetHostRequest,
  GetHostResponse,
  HostServiceServer,
  ListHostsRequest,
  ListHostsResponse,
} from '../../proto/gen/weft/v1/host.js';
import type { HostId } from '../../core/ids.js';
import type { Cache } from '../cache/cache.js';
import type { Commits } from '../commit/commit.js';
import type { Context, Decision } from '../domain/decision.js';
import { removeHost, setAvailability } from '../domain/host-removal.js';
import type { Convergence } from '../fanout/convergence.js';
import { toMessages } from './host-messages.js';
import { readPage, takePage } from './page.js';
import { findHost, viewAt } from './reads.js';
import type { CallInfo, Serve } from './serve.js';
import { Checker } from './validate.js';

export interface HostServiceOptions {
  readonly cache: Cache;
  readonly committer: Commits;
  readonly convergence: Convergence;
}

export function hostService(serve: Serve, options: HostServiceOptions): HostServiceServer {
  const { cache, convergence } = options;
  const change = async (
    named: string,
    info: CallInfo,
    rule: (context: Context, id: HostId) => Decision<bigint>,
  ): Promise<{ readonly revision: bigint }> => {
    const check = new Checker();
    const reference = check.reference('host', named);
    check.done();
    const { id, name } = findHost(cache.view, reference);
    const { result, revision } = await options.committer.run((context) => rule(context, id), info);
    info.log.info({ host: name, hostId: id, revision }, 'host changed');
    return { revision: result };
  };
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

    drain: serve.unary<DrainHostRequest, DrainHostResponse>('HostService/Drain', (request, info) =>
      change(request.host, info, (context, hostId) => setAvailability(context, { hostId, availability: 'drained' })),
    ),

    activate: serve.unary<ActivateHostRequest, ActivateHostResponse>('HostService/Activate', (request, info) =>
      change(request.host, info, (context, hostId) => setAvailability(context, { hostId, availability: 'active' })),
    ),

    delete: serve.unary<DeleteHostRequest, DeleteHostResponse>('HostService/Delete', ({ host, force }, info) =>
      change(host, info, (context, hostId) => removeHost(context, { hostId, force })),
    ),
  };
}
