/** weft-controller: the only place where the controller's parts are made and joined. */
import { join } from 'node:path';
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { systemClock } from '../core/clock.js';
import { binding } from '../core/daemon/binding.js';
import { createLogger, type Logger } from '../core/daemon/log.js';
import { serveMetrics } from '../core/daemon/metrics-server.js';
import { runDaemon } from '../core/daemon/run.js';
import { WeftError } from '../core/errors.js';
import { inBackground } from '../core/lifetime.js';
import { VERSION } from '../core/version.js';
import { Serve } from './api/serve.js';
import { listen } from './api/server.js';
import { Restores } from './backup/restores.js';
import { ensureAdmin, existingCa, issueClient, issueServer, openCa } from './credentials.js';
import type { Epoch } from './epoch.js';
import { readEtcd } from './etcd/etcd-status.js';
import { keepUp } from './etcd/etcd-upkeep.js';
import { openExternalEtcd } from './etcd/external-etcd.js';
import { UnusableStore, loadOrCreateMeta } from './meta.js';
import { createMetrics } from './metrics.js';
import { advertised } from './advertised.js';
import { parseOptions, type IssueOptions, type RunOptions } from './options.js';
import { serveCluster } from './serving.js';
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
  await using _upkeep = inBackground(async (ended) => {
    const [endpoint] = etcd.endpoints;
    if (etcd.embedded && endpoint !== undefined) await keepUp({ endpoint, tls: etcd.tls, log }, ended);
  });
  await using restores = new Restores({ store, directory: dataDir });

  let epoch: Epoch | undefined;
  const metrics = createMetrics({
    revision: () => epoch?.revision() ?? 0n,
    streams: () => epoch?.streams() ?? 0,
  });
  const unready = () => epoch?.unready() ?? ['it is starting: the store has not been read yet'];
  await using page =
    options.metrics === undefined
      ? undefined
      : await binding(options.metrics, serveMetrics({ registry: metrics.registry, unready, ...options.metrics }));
  await serveCluster(
    {
      ...{ store, log, clock: systemClock, metrics, restores, identity: { ca: ca.cert, pair: identity } },
      ...{
        settings: options.settings,
        historyRecords: options.historyRecords,
        hostGraceMs: options.hostGraceMs,
        pools: options.pools,
      },
      ...{ name, addressAt: (port: number) => advertised(options, port) },
      serve: new Serve({ log, observer: metrics.serve }),
      readEtcd: (until) => readEtcd(etcd, until),
      loadMeta: () => inPlainWords(loadOrCreateMeta(store, log, signal)),
      listen: (services) =>
        binding(
          options.listen,
          listen({ services, ...options.listen, ca: ca.cert, identity, isServing: () => unready().length === 0 }),
        ),
      onReady: (opened, { clusterId, epoch: name, restoring }, { port }) => {
        epoch = opened;
        const revision = opened.revision();
        log.info({ clusterId, epoch: name, restoring, port, metricsPort: page?.port, revision }, 'ready');
      },
    },
    signal,
  );
}

interface Etcd extends AsyncDisposable {
  readonly embedded: boolean;
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  /** Of an embedded one. */
  readonly dataDir?: string;
  /** How often a silent connection is tried; what the store does by itself where undefined. */
  readonly keepaliveMs?: number;
  /** How long one call may take, likewise. */
  readonly callTimeoutMs?: number;
}

/**
 * Milliseconds that one call to an embedded etcd may take. It answers nobody while it is defragmented (2.4 s for 118 MB
 * in use, measured on a busy machine), and there is no other member to turn to; one that is dead shows by its connection.
 */
const EMBEDDED_CALL_MS = 20_000;

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
  const directory = join(options.dataDir, 'etcd');
  const etcd = await inPlainWords(
    EmbeddedEtcd.start(
      {
        directory,
        log,
        quotaBytes: options.etcdQuotaBytes,
        ...(options.etcdBinary === undefined ? {} : { binary: options.etcdBinary }),
      },
      signal,
    ),
  );
  const { endpoints, tls, keepaliveMs } = etcd;
  return {
    embedded: true,
    endpoints,
    tls,
    keepaliveMs,
    callTimeoutMs: EMBEDDED_CALL_MS,
    dataDir: directory,
    [Symbol.asyncDispose]: () => etcd[Symbol.asyncDispose](),
  };
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
