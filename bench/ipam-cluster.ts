/** What the ipam benchmarks stand on: a real etcd, with its fsync on, in a directory of its own, and endpoints to make. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCidr, parseIp } from '../core/address.js';
import { newEndpointId, newHostId, newNetworkId } from '../core/ids.js';
import type { Host, Network } from '../core/model.js';
import type { CreateEndpoint } from '../controller/domain/endpoint.js';
import { registerHost } from '../controller/domain/host.js';
import { createNetwork } from '../controller/domain/network.js';
import type { Settings } from '../controller/domain/settings.js';
import { EmbeddedEtcd } from '../controller/store/embedded-etcd.js';
import { EtcdStore } from '../controller/store/etcd.js';
import { SILENT, type Brain } from '../controller/testing.js';

export const NEVER = new AbortController().signal;

/** No quota is to end a benchmark. */
export const SETTINGS: Partial<Settings> = { endpointsPerNetwork: 10_000_000, endpointsPerHost: 10_000_000 };

/** Hosts that the endpoints are spread over. */
const HOSTS = 100;

/** An etcd as the controller starts it for itself, gone when disposed. */
export class BenchEtcd implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    readonly etcd: EmbeddedEtcd,
  ) {}

  static async start(): Promise<BenchEtcd> {
    const directory = await mkdtemp(join(tmpdir(), 'weft-bench-etcd-'));
    try {
      return new BenchEtcd(directory, await EmbeddedEtcd.start({ directory, log: SILENT }, NEVER));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  store(): EtcdStore {
    // On a machine that is very busy an answer or a sign of life may take long: given up, it would spoil all figures.
    const { endpoints, tls } = this.etcd;
    return new EtcdStore({ endpoints, tls, keepaliveMs: 60_000, callTimeoutMs: 60_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.etcd[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** A network that nobody fills, and the hosts its endpoints are on. */
export interface Place {
  readonly network: Network;
  readonly hosts: readonly Host[];
}

const RUN = { requestId: 'bench', signal: NEVER };

export async function makePlace({ committer, cache }: Brain): Promise<Place> {
  if (cache.view.hosts.size === 0) {
    for (let number = 1; number <= HOSTS; number += 1) {
      const vtep = parseIp(`192.0.2.${String(number)}`);
      if (vtep === undefined) throw new Error('192.0.2.0/24 has 254 hosts');
      const host = { id: newHostId(), name: `h${String(number)}`, vtep, version: '0.1.0' };
      await committer.run((context) => registerHost(context, host), RUN);
    }
  }
  const cidr = parseCidr(`10.${String(cache.view.networks.size * 8)}.0.0/13`);
  if (cidr === undefined) throw new Error('10.0.0.0/8 is used up');
  const command = {
    ...{ id: newNetworkId(), name: `bench-${String(cache.view.networks.size)}`, driver: 'overlay' as const },
    ...{ subnets: [{ cidr, gateway: undefined, ipRange: undefined, auxAddresses: {} }], ipv6: false, internal: false },
    ...{ mtu: undefined, labels: {}, options: {} },
  };
  const { result } = await committer.run((context) => createNetwork(context, command, []), RUN);
  return { network: result, hosts: [...cache.view.hosts.values()] };
}

let sandboxes = 0;

/** A sandbox of its own that asks for an endpoint, on each of the hosts in turn. */
export function wish({ network, hosts }: Place): CreateEndpoint {
  sandboxes += 1;
  const host = hosts[sandboxes % hosts.length];
  if (host === undefined) throw new Error('there are no hosts');
  return {
    ...{ id: newEndpointId(), networkId: network.id, hostId: host.id, sandbox: `sandbox-${String(sandboxes)}` },
    ...{ aliases: [], addresses: [], mac: undefined, labels: { app: 'web' } },
  };
}

/** Runs `work` again and again, `concurrency` at once, `count` times in all; how many it did a second. */
export async function perSecond(count: number, concurrency: number, work: () => Promise<unknown>): Promise<number> {
  let begun = 0;
  const began = performance.now();
  const worker = async (): Promise<void> => {
    while (begun < count) {
      begun += 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return (count * 1_000) / (performance.now() - began);
}
