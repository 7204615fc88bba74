/** What 100,000 endpoints cost: bytes of etcd and of a controller's memory, and a controller's start on them. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Cache } from '../controller/cache/cache.js';
import { createEndpoint } from '../controller/domain/endpoint.js';
import { EtcdConnection } from '../controller/store/etcd-connection.js';
import { OBJECTS } from '../controller/store/keys.js';
import { SILENT, openBrain } from '../controller/testing.js';
import { BenchEtcd, NEVER, SETTINGS, makePlace, perSecond, wish } from './ipam-cluster.js';
import { median, medianRatio } from './statistics.js';

const ENDPOINTS = 100_000;
const CONCURRENCY = 512;
const STARTS = 5;

export interface ScaleFigures {
  /** Of keys and values as Weft wrote them. */
  readonly payloadBytesPerEndpoint: number;
  /** Of etcd's database, compacted and defragmented, with no history. */
  readonly etcdBytesPerEndpoint: number;
  readonly heapBytesPerEndpoint: number;
  readonly coldStartMs: number;
  /** The peer: the same keys read and thrown away. */
  readonly listMs: number;
  readonly coldStartVsList: number;
}

export async function measureScale(say: (text: string) => void): Promise<ScaleFigures> {
  await using etcd = await BenchEtcd.start();
  using connection = new EtcdConnection(etcd.etcd);
  const empty = await databaseSize(connection);
  await fill(etcd);
  await using store = etcd.store();
  const { entries, revision } = await store.list('', NEVER);
  const payload = entries.reduce((sum, { key, value }) => sum + Buffer.byteLength(key) + value.length, 0);
  await connection.once((kv, call) => kv.compact({ revision: String(revision), physical: true }, call), NEVER);
  await connection.once((_kv, call, client) => client.maintenance.defragment(call), NEVER);
  const full = await databaseSize(connection);
  say(`${ENDPOINTS.toLocaleString('en')} endpoints are there; etcd's database has ${megabytes(full - empty)}`);

  const rounds: [number, number][] = [];
  const heaps: number[] = [];
  for (let round = 0; round < STARTS; round += 1) {
    const listMs = await milliseconds(() => store.list(OBJECTS, NEVER));
    const before = liveHeap();
    const stop = new AbortController();
    const cache = new Cache({ store, log: SILENT });
    const began = performance.now();
    const running = cache.run(stop.signal);
    await cache.listed;
    const startMs = performance.now() - began;
    if (cache.view.endpoints.size !== ENDPOINTS) throw new Error(`${String(cache.view.endpoints.size)} endpoints`);
    heaps.push(liveHeap() - before);
    stop.abort();
    await running;
    rounds.push([startMs, listMs]);
    say(`start ${String(round + 1)}: ${startMs.toFixed(0)} ms, bare list ${listMs.toFixed(0)} ms`);
  }
  return {
    payloadBytesPerEndpoint: payload / ENDPOINTS,
    etcdBytesPerEndpoint: (full - empty) / ENDPOINTS,
    heapBytesPerEndpoint: median(heaps) / ENDPOINTS,
    coldStartMs: median(rounds.map(([startMs]) => startMs)),
    listMs: median(rounds.map(([, listMs]) => listMs)),
    coldStartVsList: medianRatio(rounds),
  };
}

/** In a controller of its own, of which nothing is left when the measuring begins. */
async function fill(etcd: BenchEtcd): Promise<void> {
  await using store = etcd.store();
  await using brain = await openBrain(store, SETTINGS);
  const place = await makePlace(brain);
  await perSecond(ENDPOINTS, CONCURRENCY, () => {
    const command = wish(place);
    return brain.committer.run((context) => createEndpoint(context, command), { requestId: 'bench', signal: NEVER });
  });
}

/** Equivalent to `etcdctl endpoint status`. */
async function databaseSize(connection: EtcdConnection): Promise<number> {
  const { dbSize } = await connection.once((_kv, call, client) => client.maintenance.status(call), NEVER);
  return Number(dbSize);
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** Bytes of what is reachable. */
function liveHeap(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
