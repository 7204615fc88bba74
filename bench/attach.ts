/** `weft network connect` as the RPC, beside the sandbox's own objects made by two calls of `ip -batch`. */
import { credentials } from '@grpc/grpc-js';
import { call, type CallContext } from '../proto/call.js';
import { SandboxServiceClient } from '../proto/gen/weft/v1/sandbox.js';
import { Lab } from '../e2e/lab/lab.js';
import { AGENT_SOCKET, checkoutDirectory } from '../e2e/lab/layout.js';
import type { Bench, BenchResult } from './bench.js';
import { median, percentile } from './statistics.js';

const ATTACHES = 100;
const WARM_UP = 10;

export const attach: Bench = {
  name: 'attach',
  about: `network connect as the RPC, ${String(ATTACHES)} times, beside the same objects made by ip -batch`,
  run: async (say) => {
    await using lab = await Lab.up({ name: 'bench-attach', hosts: 2 });
    return await run(lab, say);
  },
};

/** Milliseconds of each try. */
interface Samples {
  readonly attach: number[];
  readonly everywhere: number[];
  readonly detach: number[];
}

async function run(lab: Lab, say: (text: string) => void): Promise<BenchResult> {
  const [near, far] = [lab.host('h1'), lab.host('h2')];
  await near.must(['weft', 'network', 'create', '--subnet', '10.9.0.0/16', 'bench']);
  await near.must(['weft', 'sandbox', 'create', '--network', 'none', 'box']);
  await near.must(['weft', 'sandbox', 'create', '--network', 'bench', 'resident']);
  await far.must(['weft', 'sandbox', 'create', '--network', 'bench', '--wait', 'remote']);

  const client = new SandboxServiceClient(`unix:${near.fromOutside(AGENT_SOCKET)}`, credentials.createInsecure());
  const samples: Samples = { attach: [], everywhere: [], detach: [] };
  try {
    for (let round = -WARM_UP; round < ATTACHES; round += 1) {
      const attachMs = await connect(client, false);
      const detachMs = await disconnect(client);
      const everywhereMs = await connect(client, true);
      await disconnect(client);
      if (round < 0) continue;
      samples.attach.push(attachMs);
      samples.detach.push(detachMs);
      samples.everywhere.push(everywhereMs);
    }
  } finally {
    client.close();
  }
  say(`attached and detached ${String(2 * ATTACHES)} times; now by hand`);
  const start = [process.execPath, `${checkoutDirectory()}/deploy/start.js`, 'bench/by-hand', String(ATTACHES)];
  const byHand = JSON.parse(await near.must(start, { timeoutMs: 60_000 })) as number[];
  return {
    name: attach.name,
    metrics: {
      p50Ms: median(samples.attach),
      p99Ms: percentile(samples.attach, 0.99),
      everywhereP50Ms: median(samples.everywhere),
      everywhereP99Ms: percentile(samples.everywhere, 0.99),
      detachP50Ms: median(samples.detach),
      byHandP50Ms: median(byHand),
      byHandP99Ms: percentile(byHand, 0.99),
    },
    ratios: { attachVsByHand: median(samples.attach) / median(byHand) },
  };
}

async function connect(client: SandboxServiceClient, wait: boolean): Promise<number> {
  const attachment = { network: 'bench', addresses: [], mac: '', aliases: [], labels: {} };
  const began = performance.now();
  await call(client.connect.bind(client), { name: 'box', attachment, wait }, CONTEXT);
  return performance.now() - began;
}

async function disconnect(client: SandboxServiceClient): Promise<number> {
  const began = performance.now();
  await call(client.disconnect.bind(client), { name: 'box', network: 'bench', wait: false }, CONTEXT);
  return performance.now() - began;
}

const CONTEXT: CallContext = {
  signal: new AbortController().signal,
  timeoutMs: 20_000,
  requestId: 'bench',
  peer: { name: 'the agent on h1', unavailable: 'AGENT_UNAVAILABLE' },
};
