/** Lists of the cluster, read to their end. */
import type {
  AddressHolding,
  Endpoint,
  ListAddressHistoryRequest,
  ListEndpointsRequest,
} from '../proto/gen/weft/v1/endpoint.js';
import type { Host } from '../proto/gen/weft/v1/host.js';
import type { Network } from '../proto/gen/weft/v1/network.js';
import type { Controllers } from './connect.js';

const WHOLE = { pageSize: 0, minRevision: 0n } as const;

/** All networks, or those that every filter lets through. */
export async function allNetworks(
  { networks, ask }: Pick<Controllers, 'networks' | 'ask'>,
  filters: readonly string[] = [],
): Promise<Network[]> {
  return allPages(
    (pageToken) => ask(networks.list.bind(networks), { ...WHOLE, filters: [...filters], pageToken }),
    (page) => page.networks,
  );
}

export async function allHosts({ hosts, ask }: Controllers): Promise<Host[]> {
  return allPages(
    (pageToken) => ask(hosts.list.bind(hosts), { ...WHOLE, pageToken }),
    (page) => page.hosts,
  );
}

/** Which endpoints: an empty text lets all through. */
export type EndpointSelection = Partial<Pick<ListEndpointsRequest, 'network' | 'host' | 'address' | 'filters'>>;

/** All endpoints, or those that are selected. */
export async function allEndpoints(
  { endpoints, ask }: Pick<Controllers, 'endpoints' | 'ask'>,
  { network = '', host = '', address = '', filters = [] }: EndpointSelection = {},
): Promise<Endpoint[]> {
  const request = { ...WHOLE, network, host, address, filters };
  return allPages(
    (pageToken) => ask(endpoints.list.bind(endpoints), { ...request, pageToken }),
    (page) => page.endpoints,
  );
}

/** Who held an address, the newest first; an empty network is every one. */
export async function allHoldings(
  { endpoints, ask }: Pick<Controllers, 'endpoints' | 'ask'>,
  whose: Pick<ListAddressHistoryRequest, 'address' | 'network'>,
): Promise<AddressHolding[]> {
  return allPages(
    (pageToken) => ask(endpoints.listAddressHistory.bind(endpoints), { ...whose, pageSize: 0, pageToken }),
    (page) => page.holdings,
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
