/**
 * What 100,000 endpoints cost: bytes of etcd, bytes of a controller, and its start on them. The controller is the
 * program that users run, in a process of its own, on an etcd that runs already.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createEndpoint } from '../controller/domain/endpoint.js';
import { EtcdConnection } from '../controller/store/etcd-connection.js';
import { OBJECTS, ROOT } from '../controller/store/keys.js';
import { openBrain } from '../controller/testing.js';
import { bareRange, payloadOf, type EtcdFiles } from './bare-range.js';
import { BenchEtcd, NEVER, SETTINGS, makePlace, perSecond, wish } from './ipam-cluster.js';
import { ControllerProcess, program } from './ipam-controller.js';
import { median, medianRatio } from './statistics.js';

const ENDPOINTS = 100_000;
const CONCURRENCY = 512;
/** Between two words on how far it is. */
const PORTION = 20_000;
/** Of controllers, beside as many bare reads. */
const STARTS = 5;
/** Starts on an empty store, to know what a controller needs for itself. */
const EMPTY_STARTS = 3;

/** Milliseconds for one call: etcd answers a compaction that is to be complete, and a read of all there is, when it is done. */
const CALL_MS = 120_000;

const run = promisify(execFile);

export interface ScaleFigures {
  /** Of keys and values as Weft wrote them: the object and its guards. */
  readonly payloadBytesPerEndpoint: number;
  /** Of etcd's database, as far as it is in use, compacted: without history. */
  readonly etcdBytesPerEndpoint: number;
  /** Of etcd's memory, with the pages of its database that are mapped. */
  readonly etcdRssBytesPerEndpoint: number;
  /** Of a controller: what is reachable, and what the system counts. Both without what it needs with no endpoint. */
  readonly controllerBytesPerEndpoint: number;
  readonly controllerRssBytesPerEndpoint: number;
  /** From the start of a controller's process until it has answered a read; and of one with no endpoint to read. */
  readonly coldStartMs: number;
  readonly emptyStartMs: number;
  /** The peer: from the start to the end of a node process that reads the same keys and decodes nothing. */
  readonly bareReadMs: number;
  readonly coldStartVsBareRead: number;
}

export async function measureScale(say: (text: string) => void): Promise<ScaleFigures> {
  await using etcd = await BenchEtcd.start();
  using connection = new EtcdConnection({ endpoints: etcd.etcd.endpoints, tls: etcd.etcd.tls, callTimeoutMs: CALL_MS });
  const files = await writeFiles(etcd);
  const directory = join(etcd.directory, 'controller');

  const empty = await startsOf(() => start(directory, files, 0), EMPTY_STARTS + 1);
  const before = await etcdFootprint(etcd, connection);
  say(`a controller without endpoints: ${describe(empty)}; etcd: ${megabytes(before.rss)} of memory`);

  await fill(etcd, say);
  await compact(connection);
  const after = await etcdFootprint(etcd, connection);
  const payload = payloadOf(await bareRange(files, ROOT));
  say(`compacted; etcd: ${megabytes(after.inUse)} of database in use, ${megabytes(after.rss)} of memory`);

  const full: Start[] = [];
  const rounds: [number, number][] = [];
  for (let round = 0; round < STARTS; round += 1) {
    const bareMs = await milliseconds(() => bareRead(files));
    const started = await start(directory, files, ENDPOINTS);
    full.push(started);
    rounds.push([started.ms, bareMs]);
    say(`start ${String(round + 1)}: ${describe([started])}; bare read ${bareMs.toFixed(0)} ms`);
  }
  const perEndpoint = (pick: (of: Start) => number): number =>
    (median(full.map(pick)) - median(empty.map(pick))) / ENDPOINTS;
  return {
    payloadBytesPerEndpoint: payload / ENDPOINTS,
    etcdBytesPerEndpoint: (after.inUse - before.inUse) / ENDPOINTS,
    etcdRssBytesPerEndpoint: (after.rss - before.rss) / ENDPOINTS,
    controllerBytesPerEndpoint: perEndpoint(({ live }) => live),
    controllerRssBytesPerEndpoint: perEndpoint(({ rss }) => rss),
    coldStartMs: median(full.map(({ ms }) => ms)),
    emptyStartMs: median(empty.map(({ ms }) => ms)),
    bareReadMs: median(rounds.map(([, bareMs]) => bareMs)),
    coldStartVsBareRead: medianRatio(rounds),
  };
}

/** One controller's start, and its memory then: bytes that are reachable, and that the system counts. */
interface Start {
  readonly ms: number;
  readonly live: number;
  readonly rss: number;
}

/** The first, which makes keys and certificates, is not counted. */
async function startsOf(once: () => Promise<Start>, count: number): Promise<readonly Start[]> {
  const starts: Start[] = [];
  for (let round = 0; round < count; round += 1) starts.push(await once());
  return starts.slice(1);
}

async function start(directory: string, files: EtcdFiles, endpoints: number): Promise<Start> {
  await using controller = await ControllerProcess.start(directory, files);
  if (controller.used !== endpoints) throw new Error(`the controller knows ${String(controller.used)} endpoints`);
  return { ms: controller.firstReadMs, ...(await controller.memory()) };
}

async function bareRead(files: EtcdFiles): Promise<void> {
  const { address, ca, cert, key } = files;
  const argv = program('bench/bare-read', OBJECTS, address, ca, cert, key);
  const { stdout } = await run(process.execPath, argv, { timeout: CALL_MS });
  // What read fewer than all would win by that.
  if (Number(stdout) < ENDPOINTS * 100) throw new Error(`only ${stdout.trim()} bytes were read`);
}

/** The credentials for the etcd, which it keeps in memory, in files beside it. */
async function writeFiles({ directory, etcd }: BenchEtcd): Promise<EtcdFiles> {
  const [endpoint = ''] = etcd.endpoints;
  const { tls } = etcd;
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  return {
    address: endpoint.replace('https://', ''),
    ca: await write('bench-ca.crt', tls.ca),
    cert: await write('bench.crt', tls.cert),
    key: await write('bench.key', tls.key),
  };
}

async function fill(etcd: BenchEtcd, say: (text: string) => void): Promise<void> {
  await using store = etcd.store();
  await using brain = await openBrain(store, SETTINGS);
  const place = await makePlace(brain);
  for (let made = PORTION; made <= ENDPOINTS; made += PORTION) {
    const rate = await perSecond(PORTION, CONCURRENCY, () => {
      const command = wish(place);
      return brain.committer.run((context) => createEndpoint(context, command), { requestId: 'bench', signal: NEVER });
    });
    say(`${made.toLocaleString('en')} endpoints made, ${Math.round(rate).toLocaleString('en')}/s`);
  }
}

/** Equivalent to `etcdctl compact --physical` at the head: what is left has no history. */
async function compact(connection: EtcdConnection): Promise<void> {
  const { header } = await connection.once((kv, call) => kv.range({ key: Buffer.from('/') }, call), NEVER);
  const request = { revision: header.revision, physical: true };
  await connection.once((kv, call) => kv.compact(request, call), NEVER);
}

/** Bytes of etcd's database that are in use (`etcdctl endpoint status`), and of its memory. */
async function etcdFootprint(
  { etcd }: BenchEtcd,
  connection: EtcdConnection,
): Promise<{ readonly inUse: number; readonly rss: number }> {
  const { dbSizeInUse } = (await connection.once((_kv, call, client) => client.maintenance.status(call), NEVER)) as {
    dbSizeInUse?: string;
  };
  const status = await readFile(`/proc/${String(etcd.pid)}/status`, 'utf8');
  const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1];
  return { inUse: Number(dbSizeInUse), rss: Number(kilobytes) * 1024 };
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function describe(starts: readonly Start[]): string {
  const middle = (pick: (of: Start) => number): number => median(starts.map(pick));
  const [ms, live, rss] = [middle((of) => of.ms), middle((of) => of.live), middle((of) => of.rss)];
  return `${ms.toFixed(0)} ms, ${megabytes(live)} in use, ${megabytes(rss)} resident`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
