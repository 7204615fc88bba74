/** TCP from sandbox to sandbox across hosts, beside the same path built by hand: namespace, bridge, VXLAN, veth. */
import { Lab } from '../e2e/lab/lab.js';
import type { NamespaceHost } from '../e2e/lab/namespace-host.js';
import type { Bench, BenchResult } from './bench.js';
import { buildByHand } from './by-hand/path.js';
import { median, medianRatio } from './statistics.js';

const ROUNDS = 20;
const SECONDS_PER_ROUND = 1;

export const throughput: Bench = {
  name: 'throughput',
  about: 'TCP across hosts, one stream, beside the same path made by hand with ip',
  run: async (say) => {
    await using lab = await Lab.up({ name: 'bench-throughput', hosts: 2 });
    return await run(lab, say);
  },
};

async function run(lab: Lab, say: (text: string) => void): Promise<BenchResult> {
  const [client, server] = [lab.host('h1'), lab.host('h2')];
  await client.must(['weft', 'network', 'create', '--subnet', '10.9.0.0/24', 'bench']);
  await client.must(['weft', 'sandbox', 'create', '--network', 'bench', '--ip', '10.9.0.11', 'client']);
  await server.must(['weft', 'sandbox', 'create', '--network', 'bench', '--ip', '10.9.0.12', '--wait', 'server']);
  await buildByHand(client, { local: client.place.ipv4, remote: server.place.ipv4, address: '10.8.0.11/24' });
  await buildByHand(server, { local: server.place.ipv4, remote: client.place.ipv4, address: '10.8.0.12/24' });
  const ours: Path = {
    client,
    server,
    netns: { client: 'weft-s-client', server: 'weft-s-server' },
    target: '10.9.0.12',
  };
  const hand: Path = { client, server, netns: { client: 'hand-box', server: 'hand-box' }, target: '10.8.0.12' };
  for (const { netns } of [ours, hand]) await server.must(['ip', 'netns', 'exec', netns.server, 'iperf3', '-s', '-D']);

  const pairs: [number, number][] = [];
  // The first, uncounted, fills caches and starts the processors up.
  for (let round = -1; round < ROUNDS; round += 1) {
    const [first, second] = round % 2 === 0 ? [ours, hand] : [hand, ours];
    const figures = new Map([[first, await gigabits(first)]]);
    figures.set(second, await gigabits(second));
    const [mine, theirs] = [figures.get(ours) ?? 0, figures.get(hand) ?? 0];
    if (round < 0) continue;
    pairs.push([mine, theirs]);
    say(`round ${String(round + 1)}: ${mine.toFixed(2)} Gb/s, by hand ${theirs.toFixed(2)} Gb/s`);
  }
  return {
    name: throughput.name,
    metrics: {
      gigabitsPerSecond: median(pairs.map(([mine]) => mine)),
      byHandGigabitsPerSecond: median(pairs.map(([, theirs]) => theirs)),
      rounds: pairs.length,
    },
    ratios: { throughputVsByHand: medianRatio(pairs) },
  };
}

interface Path {
  readonly client: NamespaceHost;
  readonly server: NamespaceHost;
  readonly netns: { readonly client: string; readonly server: string };
  readonly target: string;
}

/** What the receiver got in one short run. */
async function gigabits({ client, netns, target }: Path): Promise<number> {
  const iperf = ['iperf3', '-c', target, '-t', String(SECONDS_PER_ROUND), '-J'];
  const output = await client.must(['ip', 'netns', 'exec', netns.client, ...iperf], { timeoutMs: 20_000 });
  const { end } = JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e9;
}
