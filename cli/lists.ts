/** Lists of the cluster, read to their end. */
import type { Endpoint, ListEndpointsRequest } from '../proto/gen/weft/v1/endpoint.js';
import type { Host } from '../proto/gen/weft/v1/host.js';
import type { Network } from '../proto/gen/weft/v1/network.js';
import type { Controllers } from './connect.js';

const WHOLE = { pageSize: 0, minRevision: 0n } as const;

export async function allNetworks({ networks, ask }: Controllers): Promise<Network[]> {
  return allPages(
    (pageToken) => ask(networks.list.bind(networks), { ...WHOLE, pageToken }),
    (page) => page.networks,
  );
}

export async function allHosts({ hosts, ask }: Controllers): Promise<Host[]> {
  return allPages(
    (pageToken) => ask(hosts.list.bind(hosts), { ...WHOLE, pageToken }),
    (page) => page.hosts,
  );
}

/** All endpoints, or those that the filter lets through; an empty text lets all through. */
export async function allEndpoints(
  { endpoints, ask }: Controllers,
  { network = '', host = '', address = '' }: Partial<Pick<ListEndpointsRequest, 'network' | 'host' | 'address'>> = {},
): Promise<Endpoint[]> {
  return allPages(
    (pageToken) => ask(endpoints.list.bind(endpoints), { ...WHOLE, network, host, address, pageToken }),
    (page) => page.endpoints,
  );
}

async function allPages<Page extends { readonly nextPageToken: string }, Item>(
  read: (pageToken: string) => Promise<Page>,
  items: (page: Page) => readonly Item[],
): Promise<Item[]> {
  const all: Item[] = [];
  let pageToken = '';
  do {
    const page = await read(pageToken);
    all.push(...items(page));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return all;
}
