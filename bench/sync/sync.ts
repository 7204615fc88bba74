/** How long it takes until every host concerned has a change, with up to 1,000 hosts, and what that costs. */
import { monotonicMs } from '../../e2e/simulated/agent.js';
import type { Bench, BenchResult, Figures } from '../bench.js';
import { throughController } from './changers.js';
import { Churn } from './churn.js';
import { Cluster, type LoadedEndpoint } from './cluster.js';
import { measureLoad, type Loaded, type LoadFigures, type Spreads } from './load.js';
import { measurePeer } from './peer.js';
import { cpuMsOf } from './process-figures.js';
import { seeded, shapeOf } from './shape.js';
import { everyoneAgrees, untilAllFollow } from './standing.js';

const PER_SECOND = 100;

/** Changes to the one network that every host is on, each of which is told to all of them. */
const FLAT = { perSecond: 2, seconds: 20, kind: 'everywhere' } as const;

/** Of the peer: enough of its changes for a p99. */
const PEER_SECONDS = 20;

/** Milliseconds between the starts of two agents. */
const STAGGER_MS = 5;

/** Agents that are told everything at the same time, when they start; in the reconnect it is all of them. */
const AT_ONCE = 50;

/** Milliseconds in which all are to be back; then it is reported how many are. */
const RECONNECT_MS = 120_000;

interface Scale {
  readonly hosts: readonly number[];
  readonly seconds: number;
  readonly seed: number;
  /** Where profiles of the controller and the agents go. */
  readonly profile: string | undefined;
}

export const sync: Bench = {
  name: 'sync',
  about: `a change until the last host concerned has it, ${String(PER_SECOND)} a second, beside bare watches of etcd`,
  run: async (say) => {
    const { hosts, ...scale } = scaleOf(process.env);
    let metrics: Figures = { seed: scale.seed };
    let ratios: Figures = {};
    for (const count of hosts) {
      const measured = await measure(count, { ...scale, last: count === hosts.at(-1), say });
      metrics = { ...metrics, ...measured.metrics };
      ratios = { ...ratios, ...measured.ratios };
    }
    return { name: sync.name, metrics, ratios };
  },
};

/** Smaller for development: WEFT_BENCH_HOSTS=200,500, WEFT_BENCH_SECONDS=10; and WEFT_BENCH_SEED, WEFT_BENCH_PROFILE=DIRECTORY. */
function scaleOf(env: NodeJS.ProcessEnv): Scale {
  const hosts = (env['WEFT_BENCH_HOSTS'] ?? '200,500,1000').split(',');
  return {
    // Networks of 200 hosts need as many.
    hosts: hosts.map((text) => wholeNumber('WEFT_BENCH_HOSTS', text, 200)),
    seconds: wholeNumber('WEFT_BENCH_SECONDS', env['WEFT_BENCH_SECONDS'] ?? '60', 1),
    seed: wholeNumber('WEFT_BENCH_SEED', env['WEFT_BENCH_SEED'] ?? '20260401', 0),
    profile: env['WEFT_BENCH_PROFILE'],
  };
}

function wholeNumber(name: string, text: string, least: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(number >= least)) throw new RangeError(`${name}: ${text} is no whole number of at least ${String(least)}`);
  return number;
}

interface MeasureOptions extends Omit<Scale, 'hosts'> {
  /** Then also what there is to measure once. */
  readonly last: boolean;
  readonly say: (text: string) => void;
}

type Measured = Pick<BenchResult, 'metrics' | 'ratios'>;

async function measure(hosts: number, { last, seconds, seed, profile, say }: MeasureOptions): Promise<Measured> {
  say(`${String(hosts)} hosts, seed ${String(seed)}`);
  const random = seeded(seed);
  const shape = shapeOf(hosts, random);
  const nodeOptions = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  await using cluster = await Cluster.open(shape, hosts, nodeOptions);
  say(`${String(cluster.endpoints.length)} endpoints in ${String(shape.length)} networks are there`);
  const { figures, endpoints } = await measureWeft(cluster, { last, seconds, random, say });
  await cluster.controller.end();
  const rate = { perSecond: PER_SECOND, seconds: Math.min(seconds, PEER_SECONDS) };
  const peer = await measurePeer({ cluster, endpoints, random, say, ...rate });
  const name = `hosts${String(hosts)}`;
  return {
    metrics: { ...figures, ...prefixed(`${name}EtcdWatch`, timesOf(peer)) },
    ratios: prefixed(name, {
      ...ratioOf('UpTo200P99VsEtcdWatch', figures[`${name}UpTo200P99Ms`], peer.near?.p99Ms),
      ...ratioOf('AllHostsP99VsEtcdWatch', figures[`${name}AllHostsP99Ms`], peer.everywhere?.p99Ms),
    }),
  };
}

interface WeftOptions extends Pick<MeasureOptions, 'last' | 'seconds' | 'say'> {
  readonly random: () => number;
}

/** With all of its agents, which are gone when it returns; and the endpoints that there are then. */
async function measureWeft(
  cluster: Cluster,
  { last, seconds, random, say }: WeftOptions,
): Promise<{ readonly figures: Figures; readonly endpoints: readonly LoadedEndpoint[] }> {
  const hosts = cluster.hosts.length;
  const began = monotonicMs();
  await using agents = cluster.openAgents();
  const launching = agents.launch({ ...cluster.launch, staggerMs: hosts * STAGGER_MS, atOnce: AT_ONCE });
  const [, standing] = await Promise.all([launching, untilAllFollow(agents, { hosts, streams: 1, say })]);
  const { following, receivedBytes, rssBytes, lastSyncedAtMs } = standing;
  if (following < hosts) throw new Error(`of ${String(hosts)} hosts only ${String(following)} came to follow`);
  await everyoneAgrees(agents, cluster);
  say(
    `all follow after ${((lastSyncedAtMs - began) / 1_000).toFixed(1)} s; ${(receivedBytes / 1e6).toFixed(0)} MB of ` +
      `snapshots, the agents take ${(rssBytes / 1e6).toFixed(0)} MB of memory`,
  );
  await using store = cluster.etcd.store();
  using client = await cluster.client();
  await using churn = new Churn({ store, changer: throughController(client), endpoints: cluster.endpoints, random });
  await churn.watch();
  const loaded: Loaded = { cluster, agents, churn, say };
  const name = `hosts${String(hosts)}`;
  const figures = prefixed(name, figuresOf(await measureLoad(loaded, { perSecond: PER_SECOND, seconds })));
  if (!last) return { figures, endpoints: churn.endpoints };
  say(`changes to the one network that is on every host only, ${String(FLAT.perSecond)} a second`);
  const flat = await measureLoad(loaded, FLAT);
  const once = {
    flatChangesPerSecond: rateOf(flat),
    ...(flat.everywhere === undefined ? {} : { flatP50Ms: flat.everywhere.p50Ms, flatP99Ms: flat.everywhere.p99Ms }),
    ...(await reconnect(loaded, receivedBytes)),
  };
  return { figures: { ...figures, ...once }, endpoints: churn.endpoints };
}

/** The controller is ended and started again, and the agents find back by themselves. */
async function reconnect({ cluster, agents, say }: Loaded, snapshotBytes: number): Promise<Figures> {
  const before = await agents.standing();
  const began = monotonicMs();
  await cluster.controller.end();
  const endedMs = monotonicMs() - began;
  await cluster.controller.start();
  const readyMs = monotonicMs() - began;
  say(`the controller ended within ${endedMs.toFixed(0)} ms, and is ready after ${readyMs.toFixed(0)} ms`);
  const after = await untilAllFollow(agents, {
    ...{ hosts: cluster.hosts.length, streams: before.fewestStreams + 1 },
    ...{ withinMs: RECONNECT_MS, say },
  });
  if (after.following < cluster.hosts.length) return { reconnectFollowing: after.following };
  await everyoneAgrees(agents, cluster);
  const figures = {
    reconnectMs: after.lastSyncedAtMs - began,
    reconnectControllerReadyMs: readyMs,
    reconnectCpuMs: cpuMsOf(cluster.controller.pid),
    reconnectSentBytes: after.receivedBytes - before.receivedBytes,
    reconnectSentShare: (after.receivedBytes - before.receivedBytes) / snapshotBytes,
  };
  const { reconnectMs, reconnectSentShare, reconnectSentBytes } = figures;
  say(
    `all follow again after ${reconnectMs.toFixed(0)} ms; ${(reconnectSentBytes / 1e6).toFixed(1)} MB were sent, ` +
      `${(100 * reconnectSentShare).toFixed(1)} % of the snapshots`,
  );
  return figures;
}

function figuresOf(load: LoadFigures): Figures {
  const { changes, cpuMs, wallMs, rssBytes, sentBytes } = load;
  return {
    ChangesPerSecond: rateOf(load),
    ...timesOf(load),
    CpuMsPerChange: cpuMs.controller / changes.done,
    CpuShareOfACore: cpuMs.controller / wallMs,
    RssMegabytes: rssBytes / 1e6,
    BytesPerChange: sentBytes / changes.done,
  };
}

function timesOf({ near, everywhere }: Spreads): Figures {
  return {
    ...(near === undefined ? {} : { UpTo200P50Ms: near.p50Ms, UpTo200P99Ms: near.p99Ms }),
    ...(everywhere === undefined ? {} : { AllHostsP50Ms: everywhere.p50Ms, AllHostsP99Ms: everywhere.p99Ms }),
  };
}

function ratioOf(name: string, ours: number | undefined, peers: number | undefined): Figures {
  return ours === undefined || peers === undefined ? {} : { [name]: ours / peers };
}

/** Changes that went all the way, a second. */
function rateOf({ changes, wallMs }: LoadFigures): number {
  return (changes.done * 1_000) / Math.max(wallMs, changes.elapsedMs);
}

function prefixed(name: string, figures: Figures): Figures {
  return Object.fromEntries(Object.entries(figures).map(([figure, value]) => [`${name}${figure}`, value]));
}
