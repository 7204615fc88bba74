/** A loaded cluster for the benchmark: etcd with its fsync on, the controller's program, and simulated agents, all over TLS. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseCidr, parseIp } from '../../core/address.js';
import {
  newEndpointId,
  newHostId,
  newNetworkId,
  type EndpointId,
  type HostId,
  type NetworkId,
} from '../../core/ids.js';
import { allSettledOrThrow } from '../../core/lifetime.js';
import { VERSION } from '../../core/version.js';
import { createEndpoint, markReady } from '../../controller/domain/endpoint.js';
import { registerHost } from '../../controller/domain/host.js';
import { createNetwork } from '../../controller/domain/network.js';
import { openCa } from '../../controller/credentials.js';
import { issue, type CertificateAuthority } from '../../controller/identity/ca.js';
import { loadOrCreateMeta } from '../../controller/meta.js';
import { SILENT, openBrain, TestClient, type Brain } from '../../controller/testing.js';
import { SimulatedAgents } from '../../e2e/simulated/agents.js';
import type { Launch } from '../../e2e/simulated/orders.js';
import type { SimulatedHost } from '../../e2e/simulated/agent.js';
import { BenchEtcd, NEVER, SETTINGS } from '../ipam-cluster.js';
import { BenchController, type ControllerOptions } from './controller.js';
import type { Kind, ShapedNetwork } from './shape.js';

/** Commits under way at once while the store is filled. */
const CONCURRENCY = 512;

/** Of the processes with the simulated agents: their young objects die young if they are given the room to. */
const AGENT_OPTIONS = ['--max-old-space-size=8192', '--max-semi-space-size=64'];

export interface LoadedEndpoint {
  readonly id: EndpointId;
  readonly network: LoadedNetwork;
  readonly hostId: HostId;
}

export interface LoadedNetwork {
  readonly id: NetworkId;
  readonly kind: Kind['name'];
}

const RUN = { requestId: 'bench', signal: NEVER };

export class Cluster implements AsyncDisposable {
  /** In the order in which they came to be. */
  readonly #parts: (() => Promise<void>)[] = [];
  readonly #nodeOptions: readonly string[];

  private constructor(
    readonly etcd: BenchEtcd,
    readonly controller: BenchController,
    readonly ca: CertificateAuthority,
    readonly hosts: readonly SimulatedHost[],
    readonly endpoints: readonly LoadedEndpoint[],
    nodeOptions: readonly string[],
  ) {
    this.#nodeOptions = nodeOptions;
  }

  /** Starts etcd, fills it, and starts a controller on it. `nodeOptions` are for the controller and the agents. */
  static async open(
    shape: readonly ShapedNetwork[],
    hostCount: number,
    nodeOptions: readonly string[] = [],
  ): Promise<Cluster> {
    const etcd = await BenchEtcd.start();
    try {
      const directory = join(etcd.directory, 'controller');
      const ca = await openCa(directory);
      const hosts = await Promise.all(Array.from({ length: hostCount }, (_, at) => makeHost(at + 1, ca)));
      const endpoints = await load(etcd, shape, hosts);
      const credentials = await credentialsOf(etcd, join(directory, 'etcd-client'));
      const controller = new BenchController({ directory, nodeOptions, etcd: credentials });
      const cluster = new Cluster(etcd, controller, ca, hosts, endpoints, nodeOptions);
      cluster.#parts.push(
        () => etcd[Symbol.asyncDispose](),
        () => controller.end(),
      );
      await controller.start();
      return cluster;
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A process for its agents, which goes with the cluster. */
  openAgents(): SimulatedAgents {
    const agents = new SimulatedAgents({ processes: 1, nodeOptions: [...AGENT_OPTIONS, ...this.#nodeOptions] });
    this.#parts.push(() => agents[Symbol.asyncDispose]());
    return agents;
  }

  /** Where its agents find their controller, and who they are. */
  get launch(): Pick<Launch, 'hosts' | 'ca' | 'target'> {
    const { hosts, ca, controller } = this;
    return { hosts, ca: ca.cert, target: `ipv4:127.0.0.1:${String(controller.port)}` };
  }

  /** An operator's client. */
  async client(): Promise<TestClient> {
    const pair = await issue({
      ...{ ca: this.ca, subject: { role: 'admin', name: 'bench' }, usage: 'client', days: 1 },
      sans: { dns: [], ip: [] },
    });
    return new TestClient(this.controller.port, { ca: this.ca.cert, ...pair });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await allSettledOrThrow('ending the cluster', this.#parts.splice(0).reverse());
  }
}

function nameOf(number: number): string {
  return `h${String(number)}`;
}

async function makeHost(number: number, ca: CertificateAuthority): Promise<SimulatedHost> {
  const vtep = parseIp(`2001:db8::${number.toString(16)}`);
  if (vtep === undefined) throw new RangeError('2001:db8::/112 has 65,535 hosts');
  const subject = { role: 'host', name: nameOf(number) } as const;
  const { cert, key } = await issue({ ca, subject, usage: 'client', days: 1, sans: { dns: [], ip: [] } });
  return { hostId: newHostId(), vtep, cert, key };
}

/** As a controller would have come to hold it, through the rules, in one that is gone when this returns. */
async function load(
  etcd: BenchEtcd,
  shape: readonly ShapedNetwork[],
  hosts: readonly SimulatedHost[],
): Promise<readonly LoadedEndpoint[]> {
  await using store = etcd.store();
  const { epoch } = await loadOrCreateMeta(store, SILENT, NEVER);
  await using brain = await openBrain(store, SETTINGS);
  const { committer } = brain;
  await inParallel([...hosts.entries()], async ([at, { hostId: id, vtep }]) => {
    const host = { id, name: nameOf(at + 1), vtep, version: VERSION, prefixes: [], declaredEpoch: epoch };
    await committer.run((context) => registerHost(context, host), RUN);
  });
  const networks: LoadedNetwork[] = [];
  for (const [at, { kind }] of shape.entries()) networks.push({ kind, id: await makeNetwork(brain, at) });
  const endpoints = shape.flatMap((each, at) =>
    each.hosts.map((host): LoadedEndpoint => {
      const [network, hostId] = [networks[at], hosts[host]?.hostId];
      if (network === undefined || hostId === undefined) throw new RangeError('the shape is of another cluster');
      return { id: newEndpointId(), network, hostId };
    }),
  );
  await inParallel([...endpoints.entries()], async ([at, { id, network, hostId }]) => {
    const command = { id, networkId: network.id, hostId, sandbox: `box-${String(at)}`, labels: { app: 'web' } };
    const open = { aliases: [], addresses: [], mac: undefined };
    await committer.run((context) => createEndpoint(context, { ...command, ...open }), RUN);
    await committer.run((context) => markReady(context, { id, hostId }), RUN);
  });
  return endpoints;
}

async function makeNetwork({ committer }: Brain, at: number): Promise<NetworkId> {
  // A /20 each: 10.0.0.0/8 has 4,096 of them.
  const cidr = parseCidr(`10.${String(at >> 4)}.${String((at & 15) << 4)}.0/20`);
  if (cidr === undefined) throw new RangeError('10.0.0.0/8 is used up');
  const command = {
    ...{ id: newNetworkId(), name: `n${String(at)}`, driver: 'overlay' as const, mtu: undefined, labels: {} },
    ...{ subnets: [{ cidr, gateway: undefined, ipRange: undefined, auxAddresses: {} }], ipv6: false, internal: false },
    options: {},
  };
  const { result } = await committer.run((context) => createNetwork(context, command, []), RUN);
  return result.id;
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

async function credentialsOf({ etcd }: BenchEtcd, directory: string): Promise<ControllerOptions['etcd']> {
  await mkdir(directory, { mode: 0o700 });
  const write = async (name: 'ca' | 'cert' | 'key'): Promise<string> => {
    const file = join(directory, `${name}.pem`);
    await writeFile(file, etcd.tls[name], { mode: 0o600 });
    return file;
  };
  const [endpoint = ''] = etcd.endpoints;
  return { endpoint, ca: await write('ca'), cert: await write('cert'), key: await write('key') };
}
