/** `weft endpoint ...` */
import type { Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import { parseAddress } from '../arguments/names.js';
import type { Controllers } from '../connect.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { checkFilters, ENDPOINT_FILTERS } from '../arguments/filters.js';
import { collect } from '../arguments/labels.js';
import { invalid, WeftError } from '../../core/errors.js';
import { allEndpoints, allHoldings, allHosts, allNetworks } from '../lists.js';
import { byName } from '../natural-order.js';
import { inspectEach } from '../several.js';
import { filtersOfShownIds, withShownId } from '../shown-id.js';

interface ListOptions {
  readonly network?: string;
  readonly host?: string;
  readonly address?: string;
  readonly history?: boolean;
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
}

export const define: Define = (endpoint, act) => {
  addExamples(
    endpoint
      .command('ls')
      .description('list endpoints: which sandbox is on which network, with which addresses')
      .option('--network <network>', 'only of this network (name or id)')
      .option('--host <host>', 'only on this host (name or id)')
      .option('--address <ip>', 'only the endpoint that holds this address')
      .option('--history', 'with --address: who held it and when, the newest first')
      .option('-f, --filter <key=value>', `only some: ${ENDPOINT_FILTERS.join(', ')} (repeats)`, collect)
      .option('-q, --quiet', 'print ids only')
      .action(act((invocation, options: ListOptions) => list(invocation, options))),
    ['weft endpoint ls --network web', 'who is on web'],
    ['weft endpoint ls --address 10.1.0.2', 'who holds an address'],
    ['weft endpoint ls --address 10.1.0.2 --history', 'and who did in the last 24 hours'],
  );
  addExamples(
    endpoint
      .command('inspect')
      .description('show endpoints in full, as JSON')
      .argument('<endpoint...>', 'ids, or names of sandboxes that have one endpoint')
      .action(act((invocation, ids: string[]) => inspect(invocation, ids))),
    ['weft endpoint inspect 6d6f0c4e0f0b', 'its addresses, MAC, state; the id is that of weft endpoint ls'],
    ['weft endpoint inspect shop', 'the one of this sandbox, on whichever host'],
  );
};

async function list(invocation: Invocation, options: ListOptions): Promise<undefined> {
  const { network = '', host = '', quiet = false } = options;
  checkFilters(options.filter ?? [], ENDPOINT_FILTERS);
  const address = options.address === undefined ? '' : parseAddress('--address', options.address);
  if (options.history === true) {
    await history(invocation, { ...options, address, network });
    return undefined;
  }
  const { connectControllers } = await import('../connect.js');
  const { Endpoint } = await import('../../proto/gen/weft/v1/endpoint.js');
  using controllers = await connectControllers(invocation);
  const filters = filtersOfShownIds(options.filter ?? []);
  const found = await withShownId(
    network,
    () => allNetworks(controllers),
    (ofNetwork) =>
      withShownId(
        host,
        () => allHosts(controllers),
        (ofHost) => allEndpoints(controllers, { network: ofNetwork, host: ofHost, address, filters }),
      ),
  );
  if (invocation.globals.json) invocation.printJson({ endpoints: found.map((item) => Endpoint.toJSON(item)) });
  else if (quiet) for (const { id } of found) invocation.print(id);
  else invocation.print(await renderEndpoints(invocation, controllers, found));
  return undefined;
}

/** Who held an address: the holders of now, and those that are remembered. */
async function history(
  invocation: Invocation,
  {
    address,
    network,
    host,
    filter = [],
    quiet = false,
  }: ListOptions & { readonly address: string; readonly network: string },
): Promise<void> {
  if (address === '') throw new WeftError(invalid('--history', 'is that of one address: name it with --address'));
  if (host !== undefined || filter.length > 0 || quiet) {
    throw new WeftError(invalid('--history', 'goes with --address and --network, and with no other option of ls'));
  }
  const { connectControllers } = await import('../connect.js');
  const { AddressHolding } = await import('../../proto/gen/weft/v1/endpoint.js');
  using controllers = await connectControllers(invocation);
  const found = await withShownId(
    network,
    () => allNetworks(controllers),
    (ofNetwork) => allHoldings(controllers, { address, network: ofNetwork }),
  );
  if (invocation.globals.json) {
    invocation.printJson({ holdings: found.map((holding) => AddressHolding.toJSON(holding)) });
  } else {
    const { renderHistory } = await import('../output/history.js');
    invocation.print(renderHistory(found));
  }
}

/** The wire has ids; people read names. */
async function renderEndpoints(
  invocation: Invocation,
  controllers: Controllers,
  endpoints: readonly EndpointMessage[],
): Promise<string> {
  const { listCell, renderTable } = await import('../output/table.js');
  const { shortId } = await import('../output/short-id.js');
  const { endpointWord, makePaint } = await import('../output/states.js');
  const [networks, hosts] =
    endpoints.length === 0 ? [[], []] : await Promise.all([allNetworks(controllers), allHosts(controllers)]);
  const names = new Map([...networks, ...hosts].map(({ id, name }) => [id, name]));
  const paint = makePaint(invocation.surroundings);
  const rows = endpoints.map(({ id, networkId, hostId, sandbox, addresses, mac, state }) => [
    shortId(id),
    names.get(networkId) ?? shortId(networkId),
    names.get(hostId) ?? shortId(hostId),
    sandbox,
    listCell(addresses),
    mac,
    paint(endpointWord(state)),
  ]);
  rows.sort((a, b) => byName({ name: sortKey(a) }, { name: sortKey(b) }));
  return renderTable(['ENDPOINT ID', 'NETWORK', 'HOST', 'SANDBOX', 'ADDRESSES', 'MAC', 'STATE'], rows);
}

function sortKey(row: readonly string[]): string {
  return row.slice(1, 4).join('\0');
}

async function inspect(invocation: Invocation, ids: readonly string[]): Promise<number> {
  const { connectControllers } = await import('../connect.js');
  const { endpointNamed } = await import('../endpoint-named.js');
  const { Endpoint } = await import('../../proto/gen/weft/v1/endpoint.js');
  using controllers = await connectControllers(invocation);
  return await inspectEach(invocation, 'endpoints', ids, async (id) =>
    Endpoint.toJSON(await endpointNamed(controllers, id)),
  );
}
