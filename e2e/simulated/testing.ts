/** For tests: hosts, networks and endpoints for simulated agents. */
import { parseIp, type IpAddress } from '../../core/address.js';
import { newEndpointId, newHostId, type EndpointId, type HostId, type NetworkId } from '../../core/ids.js';
import { pause, withDeadline } from '../../core/lifetime.js';
import { issue } from '../../controller/identity/ca.js';
import type { Harness, TestClient } from '../../controller/testing.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import type { SimulatedHost } from './agent.js';

/** Hosts h1 and on, at 192.0.2.1 and on. */
export function makeHosts({ ca }: Pick<Harness, 'ca'>, count: number): Promise<SimulatedHost[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const subject = { role: 'host', name: `h${String(at + 1)}` } as const;
      const pair = await issue({ ca, subject, usage: 'client', days: 1, sans: { dns: [], ip: [] } });
      return { hostId: newHostId(), vtep: parseIp(`192.0.2.${String(at + 1)}`) as IpAddress, ...pair };
    }),
  );
}

/** Looks every 20 ms, for 15 s. */
export async function eventually(is: () => boolean | Promise<boolean>): Promise<void> {
  const late = withDeadline(15_000);
  while (!(await is())) if (!(await pause(20, late))) throw new Error('it never came to be');
}

/** The network's id. */
export async function makeNetwork(client: TestClient, name: string): Promise<NetworkId> {
  const { network } = await client.call(
    client.networks.create.bind(client.networks),
    CreateNetworkRequest.fromPartial({ name }),
  );
  return network?.id as NetworkId;
}

/** In a sandbox of its own. */
export async function makeEndpoint(client: TestClient, network: string, host: HostId): Promise<EndpointId> {
  const id = newEndpointId();
  const request = CreateEndpointRequest.fromPartial({ id, network, host, sandbox: `box-${id}` });
  await client.call(client.endpoints.create.bind(client.endpoints), request);
  return id;
}

/** A gRPC target. */
export const targetOf = ({ port }: Pick<Harness, 'port'>): string => `ipv4:127.0.0.1:${String(port)}`;
