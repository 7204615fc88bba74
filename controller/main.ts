/** weft-controller: the only place where the controller's parts are made and joined. */
import { join } from 'node:path';
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { systemClock } from '../core/clock.js';
import { binding } from '../core/daemon/binding.js';
import { createLogger, type Logger } from '../core/daemon/log.js';
import { serveMetrics } from '../core/daemon/metrics-server.js';
import { runDaemon } from '../core/daemon/run.js';
import { WeftError } from '../core/errors.js';
import { VERSION } from '../core/version.js';
import { agentSyncService } from './api/agent-sync-service.js';
import { clusterService } from './api/cluster-service.js';
import { endpointService } from './api/endpoint-service.js';
import { hostService } from './api/host-service.js';
import { networkService } from './api/network-service.js';
import { Serve } from './api/serve.js';
import { listen } from './api/server.js';
import { Cache } from './cache/cache.js';
import { Committer } from './commit.js';
import { ensureAdmin, existingCa, issueClient, issueServer, openCa } from './credentials.js';
import { defaultPools } from './domain/subnet-pool.js';
import { etcdStatus } from './etcd-status.js';
import { openExternalEtcd } from './external-etcd.js';
import { Fanout } from './fanout/fanout.js';
import { UnusableStore, loadOrCreateMeta } from './meta.js';
import { createMetrics } from './metrics.js';
import { parseOptions, type IssueOptions, type RunOptions } from './options.js';
import { EmbeddedEtcd } from './store/embedded-etcd.js';
import { EmbeddedEtcdError } from './store/etcd-error.js';
import type { EtcdTls } from './store/etcd-tls.js';
import { EtcdStore } from './store/etcd.js';

/** Runs weft-controller; its exit status. 2: the command line is wrong. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (typeof options === 'number') return options;
  if (options.command === 'issue') return issueCommand(options);
  // It writes lines of its own to stderr, which is our log; what matters in them reaches us as errors.
  setLogVerbosity(logVerbosity.NONE);
  const log = createLogger({ daemon: 'weft-controller', level: options.logLevel });
  return runDaemon(log, (signal) => runController(options, log, signal));
}

async function issueCommand({ dataDir, role, name, out }: IssueOptions): Promise<number> {
  try {
    await issueClient({ ca: await existingCa(dataDir), subject: { role, name }, out });
    return 0;
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    process.stderr.write(`weft-controller: ${error.message}\n`);
    return 1;
  }
}

/** One controller, until the signal aborts. What was made last is stopped first. */
async function runController(options: RunOptions, log: Logger, signal: AbortSignal): Promise<void> {
  const { dataDir, name } = options;
  log.info({ version: VERSION, name, dataDir }, 'starting');
  const ca = await openCa(dataDir);
  await ensureAdmin(ca, dataDir);
  const identity = await issueServer(ca, name);

  await using etcd = await openEtcd(options, log, signal);
  await using store = new EtcdStore(etcd);
  const meta = await inPlainWords(loadOrCreateMeta(store, log, signal));

  const metrics = createMetrics({ revision: () => cache.view.revision, streams: () => fanout.size });
  const cache = new Cache({ store, log, onMalformed: metrics.onMalformed });
  await using following = inBackground((ended) => cache.run(ended));
  await Promise.race([cache.listed, following.failed, aborted(signal)]);
  if (signal.aborted) return;
  using fanout = new Fanout({ cache, observer: metrics.fanout, ...meta, clock: systemClock });
  const committer = new Committer({
    ...{ store, cache, observer: metrics.commit, clock: systemClock },
    settings: options.settings,
  });
  const serve = new Serve({ log, observer: metrics.serve });
  const pools = options.pools.length > 0 ? options.pools : defaultPools(meta.clusterId);
  const services = {
    network: networkService(serve, { cache, committer, pools }),
    endpoint: endpointService(serve, { store, cache, committer, fanout }),
    host: hostService(serve, { cache, fanout }),
    cluster: clusterService(serve, { cache, fanout, meta, etcdStatus: (until) => etcdStatus(etcd, until) }),
    agentSync: agentSyncService(serve, { cache, committer, fanout, observer: metrics.sync }),
  };
  await using server = await binding(options.listen, listen({ services, ...options.listen, ca: ca.cert, identity }));
  await using page =
    options.metrics === undefined
      ? undefined
      : await binding(options.metrics, serveMetrics({ registry: metrics.registry, ...options.metrics }));
  log.info({ ...meta, port: server.port, metricsPort: page?.port, revision: cache.view.revision }, 'ready');
  await Promise.race([aborted(signal), following.failed]);
  // Before the server: it would wait for the agents' streams, which do not end by themselves.
  fanout[Symbol.dispose]();
}

interface Etcd extends AsyncDisposable {
  readonly embedded: boolean;
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  /** How often a silent connection is tried; what the store does by itself where undefined. */
  readonly keepaliveMs?: number;
}

/** The etcd that was named, or one of the controller's own. */
async function openEtcd(options: RunOptions, log: Logger, signal: AbortSignal): Promise<Etcd> {
  if (options.etcd !== undefined) {
    const { endpoints } = options.etcd;
    return {
      embedded: false,
      endpoints,
      tls: await openExternalEtcd(options.etcd, signal),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
  const etcd = await inPlainWords(
    EmbeddedEtcd.start(
      {
        directory: join(options.dataDir, 'etcd'),
        log,
        ...(options.etcdBinary === undefined ? {} : { binary: options.etcdBinary }),
      },
      signal,
    ),
  );
  const { endpoints, tls, keepaliveMs } = etcd;
  return { embedded: true, endpoints, tls, keepaliveMs, [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose]() };
}

/** Says what a person has to put right without the stack that does not help them. */
async function inPlainWords<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof EmbeddedEtcdError || error instanceof UnusableStore)) throw error;
    throw new WeftError({ reason: 'STORE_UNAVAILABLE', message: error.message }, { cause: error });
  }
}

interface Background extends AsyncDisposable {
  /** Rejects when the work failed; never resolves. */
  readonly failed: Promise<never>;
}

/** Work that goes on beside everything else, and is ended and waited for when disposed. */
function inBackground(work: (signal: AbortSignal) => Promise<void>): Background {
  const stop = new AbortController();
  const running = work(stop.signal);
  const failed = new Promise<never>((_, reject) => {
    running.catch(reject);
  });
  failed.catch(() => undefined);
  return {
    failed,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running.catch(() => undefined);
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
