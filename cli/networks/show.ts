/** `weft network ls` and `weft network inspect` */
import type { Network as NetworkMessage, Usage as UsageMessage } from '../../proto/gen/weft/v1/network.js';
import { checkFilters, NETWORK_FILTERS } from '../arguments/filters.js';
import type { Controllers } from '../connect.js';
import type { Invocation } from '../invocation.js';
import { allEndpoints, allHosts, allNetworks } from '../lists.js';
import { byName } from '../natural-order.js';
import { countWord } from '../output/count.js';
import { inspectEach } from '../several.js';
import { withShownId } from '../shown-id.js';
import { divideFilters, predefined } from './predefined.js';

export interface ListOptions {
  readonly quiet?: boolean;
  readonly filter?: readonly string[];
}

export async function listNetworks(
  invocation: Invocation,
  { quiet = false, filter = [] }: ListOptions,
): Promise<undefined> {
  checkFilters(filter, NETWORK_FILTERS);
  const filters = divideFilters(filter);
  const { connectControllers } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  // Asked also where none of the answer is wanted: it is the controller who knows whether a filter makes sense.
  const found = await allNetworks(controllers, filters.cluster);
  const networks = filters.custom ? found : [];
  if (invocation.globals.json) {
    const all = [...networks.map((network) => ({ name: network.name, json: Network.toJSON(network) }))];
    for (const network of filters.predefined) all.push({ name: network.name, json: network });
    invocation.printJson({ networks: all.sort(byName).map(({ json }) => json) });
  } else if (quiet) {
    for (const { id } of networks.sort(byName)) invocation.print(id);
  } else {
    const { listCell, renderTable } = await import('../output/table.js');
    const { shortId } = await import('../output/short-id.js');
    const rows = networks.map(({ id, name, driver, vni, subnets }) => ({
      name,
      row: [shortId(id), name, driver, String(vni), listCell(subnets.map(({ cidr }) => cidr))],
    }));
    for (const { name, driver } of filters.predefined) rows.push({ name, row: ['-', name, driver, '-', '-'] });
    const heads = ['NETWORK ID', 'NAME', 'DRIVER', 'VNI', 'SUBNETS'];
    invocation.print(
      renderTable(
        heads,
        rows.sort(byName).map(({ row }) => row),
      ),
    );
  }
  return undefined;
}

export async function inspectNetworks(invocation: Invocation, names: readonly string[]): Promise<number> {
  const { connectControllers, present } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  const { networks, ask } = controllers;
  return await inspectEach(invocation, 'networks', names, async (name) => {
    const found = predefined(name);
    if (found !== undefined) {
      if (!invocation.globals.json) invocation.note(`${found.name} is predefined: every host has it, and no store`);
      return found;
    }
    const { network } = await withShownId(
      name,
      () => allNetworks(controllers),
      (nameOrId) => ask(networks.get.bind(networks), { network: nameOrId, minRevision: 0n }),
    );
    const shown = present(network, 'network');
    return invocation.globals.json ? Network.toJSON(shown) : await describe(controllers, shown);
  });
}

/** The message, and what people look for beside it: zeros too, where the MTU is from, who is on the network. */
async function describe(controllers: Controllers, network: NetworkMessage): Promise<unknown> {
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  const { endpointWord } = await import('../output/states.js');
  const endpoints = await allEndpoints(controllers, { network: network.id });
  const hosts = endpoints.length === 0 ? [] : await allHosts(controllers);
  const hostNames = new Map(hosts.map(({ id, name }) => [id, name]));
  const { subnets, ...rest } = Network.toJSON(network) as Readonly<Record<string, unknown>> & {
    readonly subnets?: readonly object[];
  };
  return {
    ...rest,
    mtu: network.mtu,
    mtuFrom: network.mtu === 0 ? "each host: its underlay's, less what the tunnel needs" : '-o mtu',
    ...(network.usage === undefined ? {} : { usage: figures(network.usage) }),
    subnets: (subnets ?? []).map((subnet, index) => {
      const usage = network.subnets[index]?.usage;
      return { ...subnet, ...(usage === undefined ? {} : { usage: figures(usage) }) };
    }),
    endpoints: endpoints
      .map(({ id, sandbox, hostId, addresses, mac, state }) => ({
        ...{ id, sandbox, host: hostNames.get(hostId) ?? hostId, addresses, mac, state: endpointWord(state) },
      }))
      .sort((a, b) => byName({ name: a.sandbox }, { name: b.sandbox })),
  };
}

function figures({ total, used, resting, free }: UsageMessage): Readonly<Record<string, string>> {
  return { total: countWord(total), used: countWord(used), resting: countWord(resting), free: countWord(free) };
}
