/** For tests: some of everything that a store can hold, made by the rules themselves. */
import { parseCidr, parseIp } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { createEndpoint } from '../domain/endpoint.js';
import { registerHost } from '../domain/host.js';
import { createNetwork } from '../domain/network.js';
import type { Store } from '../store/store.js';
import { openBrain } from '../testing.js';

const RUN = { requestId: 'make', signal: new AbortController().signal };

export interface MadeCluster {
  readonly hosts: readonly Host[];
  readonly network: Network;
  readonly endpoints: readonly Endpoint[];
}

/** Two hosts, a network with this name, an endpoint on each host. `place`: 1 to 9, of which each has addresses of its own. */
export async function makeCluster(store: Store, name: string, place = 1): Promise<MadeCluster> {
  await using brain = await openBrain(store);
  const { committer } = brain;
  const cidr = parseCidr(`10.${String(place)}.0.0/24`);
  const vteps = [1, 2].map((each) => parseIp(`192.0.2.${String(10 * place + each)}`));
  if (cidr === undefined) throw new RangeError(`no place ${String(place)}`);
  const hosts: Host[] = [];
  for (const [index, vtep] of vteps.entries()) {
    if (vtep === undefined) throw new RangeError(`no place ${String(place)}`);
    const host = { id: newHostId(), name: `${name}-${String(index + 1)}`, vtep, version: '0.1.0' };
    hosts.push((await committer.run((context) => registerHost(context, host), RUN)).result);
  }
  const wish = {
    ...{ id: newNetworkId(), name, driver: 'overlay' as const, ipv6: false, internal: false, mtu: undefined },
    ...{
      subnets: [{ cidr, gateway: undefined, ipRange: undefined, auxAddresses: {} }],
      labels: { a: 'b' },
      options: {},
    },
  };
  const { result: network } = await committer.run((context) => createNetwork(context, wish, []), RUN);
  const endpoints: Endpoint[] = [];
  for (const { id: hostId } of hosts) {
    const endpoint = {
      ...{ id: newEndpointId(), networkId: network.id, hostId, sandbox: 'box', aliases: [], addresses: [] },
      ...{ mac: undefined, labels: {} },
    };
    endpoints.push((await committer.run((context) => createEndpoint(context, endpoint), RUN)).result);
  }
  return { hosts, network, endpoints };
}
