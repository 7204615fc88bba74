/** What the demo shows of Weft: each function is one check and returns its figure, or throws what was wrong. */
import type { Lab } from '../lab/lab.js';
import type { NamespaceHost } from '../lab/namespace-host.js';
import type { Endpoint } from '../../proto/gen/weft/v1/endpoint.js';
import { parsePing, type PingResult } from './ping.js';

/** A sandbox of the demo and where it is. */
export interface Box {
  readonly host: string;
  readonly name: string;
}

interface NetworkJson {
  readonly id: string;
  readonly name: string;
  readonly vni: number;
  readonly subnets: readonly { readonly cidr: string }[];
}

type EndpointJson = Pick<Endpoint, 'sandbox' | 'addresses'> & { readonly networkId: string };

/** The addresses of every sandbox, as the cluster tells them. */
type Addresses = ReadonlyMap<string, readonly string[]>;

/** Runs `weft --json` on a host and reads its one document. */
async function weft(host: NamespaceHost, ...args: string[]): Promise<unknown> {
  return JSON.parse(await host.must(['weft', '--json', ...args])) as unknown;
}

export async function hostsAreReady(lab: Lab): Promise<string> {
  const { hosts } = (await weft(lab.host('h1'), 'host', 'ls')) as {
    hosts: readonly { name: string; state: string; vtep: string }[];
  };
  const ready = hosts.filter(({ state }) => state === 'HOST_STATE_READY');
  if (ready.length !== lab.hosts.length) throw new Error(`only ${String(ready.length)} hosts are ready`);
  // They joined in any order.
  const names = ready.map(({ name, vtep }) => `${name} ${vtep}`).sort((a, b) => a.localeCompare(b));
  return names.join(', ');
}

export async function createNetwork(lab: Lab, name: string, ...options: string[]): Promise<string> {
  await lab.host('h1').must(['weft', 'network', 'create', ...options, '--wait', name]);
  const network = (await weft(lab.host('h1'), 'network', 'inspect', name)) as NetworkJson;
  return `VNI ${String(network.vni)}, ${network.subnets.map(({ cidr }) => cidr).join(', ')}`;
}

export async function createSandbox(lab: Lab, { host, name }: Box, network: string): Promise<string> {
  await lab.host(host).must(['weft', 'sandbox', 'create', '--network', network, '--wait', name]);
  const addresses = (await addressesOf(lab)).get(name);
  if (addresses === undefined) throw new Error(`sandbox ${name} has no endpoint`);
  return addresses.join(', ');
}

async function addressesOf(lab: Lab): Promise<Addresses> {
  const { endpoints } = (await weft(lab.host('h1'), 'endpoint', 'ls')) as { endpoints: readonly EndpointJson[] };
  return new Map(endpoints.map(({ sandbox, addresses }) => [sandbox, addresses]));
}

/** One ping run from a sandbox; a lost packet is a result, not an error. */
async function ping(lab: Lab, from: Box, target: string, count: number, gapMs = 10): Promise<PingResult> {
  const interval = String(gapMs / 1000);
  const argv = ['ping', '-n', '-q', '-c', String(count), '-i', interval, '-W', '1', target];
  const { stdout, stderr } = await lab.host(from.host).exec(['weft', 'exec', from.name, '--', ...argv], {
    timeoutMs: 30_000 + count * gapMs,
  });
  if (!stdout.includes('packets transmitted'))
    throw new Error(`ping from ${from.name}: ${stderr.trim() || stdout.trim()}`);
  return parsePing(stdout);
}

/** Every sandbox reaches every other of its network, by this family. */
export async function allReachAll(lab: Lab, boxes: readonly Box[], family: 4 | 6): Promise<string> {
  const addresses = await addressesOf(lab);
  const means: number[] = [];
  for (const from of boxes) {
    for (const to of boxes.filter(({ name }) => name !== from.name)) {
      const target = addresses.get(to.name)?.find((address) => address.includes(':') === (family === 6));
      if (target === undefined) throw new Error(`${to.name} has no IPv${String(family)} address`);
      const { sent, received, meanMs } = await ping(lab, from, target, 5);
      if (received !== sent || meanMs === undefined) {
        throw new Error(`${from.name} to ${to.name} (${target}): ${String(received)} of ${String(sent)} packets`);
      }
      means.push(meanMs);
    }
  }
  const mean = means.reduce((sum, each) => sum + each, 0) / means.length;
  return `${String(means.length)} of ${String(means.length)} pairs, ${mean.toFixed(2)} ms`;
}

/** Every sandbox finds every other by its name, through its own resolv.conf and the C library. */
export async function namesResolve(lab: Lab, boxes: readonly Box[], network: string): Promise<string> {
  const addresses = await addressesOf(lab);
  let asked = 0;
  for (const from of boxes) {
    for (const to of boxes.filter(({ name }) => name !== from.name)) {
      for (const name of [to.name, `${to.name}.${network}`]) {
        const said = await lab.host(from.host).must(['weft', 'exec', from.name, '--', 'getent', 'ahosts', name]);
        const found = new Set(said.split('\n').map((line) => line.split(' ')[0]));
        for (const address of addresses.get(to.name) ?? []) {
          if (!found.has(address)) throw new Error(`${from.name} asked for ${name} and was not told ${address}`);
        }
        asked += 1;
      }
    }
  }
  return `${String(asked)} of ${String(asked)} names right`;
}

/** Neither a packet nor a name gets from one network into the other. The same target answers its own network. */
export async function areApart(lab: Lab, from: Box, neighbour: Box, target: Box): Promise<string> {
  const address = (await addressesOf(lab)).get(target.name)?.[0];
  if (address === undefined) throw new Error(`${target.name} has no address`);
  const own = await ping(lab, neighbour, address, 3);
  if (own.received !== own.sent) throw new Error(`${target.name} does not answer its own network`);
  const other = await ping(lab, from, address, 5, 100);
  if (other.received !== 0) throw new Error(`${from.name} reached ${target.name} of the other network`);
  const { code } = await lab.host(from.host).exec(['weft', 'exec', from.name, '--', 'getent', 'hosts', target.name]);
  if (code === 0) throw new Error(`${from.name} was told the name ${target.name} of the other network`);
  return `0 of ${String(other.sent)} packets, name unknown`;
}

/** The agent of the target's host is stopped and started again in the middle of a ping. */
export async function restartLosesNothing(
  lab: Lab,
  { from, to }: { readonly from: Box; readonly to: Box },
  progress: (text: string) => void,
): Promise<string> {
  const address = (await addressesOf(lab)).get(to.name)?.[0];
  if (address === undefined) throw new Error(`${to.name} has no address`);
  const pinging = ping(lab, from, address, 400, 10);
  const agent = lab.host(to.host).agent;
  progress(`stopping the agent on ${to.host}`);
  const began = performance.now();
  await agent.stop();
  progress(`starting the agent on ${to.host}`);
  await agent.start();
  const awayMs = performance.now() - began;
  progress('waiting for the last packet');
  const { sent, received } = await pinging;
  if (awayMs >= 4000) throw new Error(`the restart took ${awayMs.toFixed(0)} ms, longer than the ping`);
  if (received !== sent) throw new Error(`${String(sent - received)} of ${String(sent)} packets lost`);
  return `${String(received)} of ${String(sent)} packets, agent away ${(awayMs / 1000).toFixed(1)} s`;
}

export async function removeAll(lab: Lab, boxes: readonly Box[], networks: readonly string[]): Promise<string> {
  for (const { host, name } of boxes) await lab.host(host).must(['weft', 'sandbox', 'rm', name]);
  await lab.host('h1').must(['weft', 'network', 'rm', ...networks]);
  return `${String(boxes.length)} sandboxes, ${String(networks.length)} networks`;
}

export async function nothingIsLeft(lab: Lab): Promise<string> {
  const leftovers = await lab.leftovers();
  if (leftovers.length > 0) throw new Error(leftovers.join('; '));
  return '0 namespaces, 0 links, 0 keys';
}
