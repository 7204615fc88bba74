/** What an operator wants to know of etcd, from its pages and its alarms. */
import { withDeadline } from '../../core/lifetime.js';
import type { EtcdMember, EtcdStatus } from '../../proto/gen/weft/v1/cluster.js';
import { NoAnswer, readPages } from './etcd-pages.js';
import { EtcdConnection } from '../store/etcd-connection.js';
import type { EtcdTls } from '../store/etcd-tls.js';
import { StoreRefused, StoreUnavailable } from '../store/store.js';

export interface EtcdStatusOptions {
  readonly embedded: boolean;
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  /** Of an embedded one. */
  readonly dataDir?: string;
}

/** What etcd says of itself that somebody has to look after. `NOSPACE`: it takes no writes. */
export type EtcdAlarm = 'NOSPACE' | 'CORRUPT';

export interface EtcdReport {
  readonly status: EtcdStatus;
  /** Empty also where nobody answered. */
  readonly alarms: readonly EtcdAlarm[];
}

/** Milliseconds in which etcd tells its alarms; together with the pages' second, an operator waits no longer. */
const ALARMS_MS = 800;

/** One member as its pages show it. */
export interface MemberFacts {
  readonly version: string;
  readonly size: bigint;
  readonly sizeInUse: bigint;
  /** 0: unknown. */
  readonly quota: bigint;
  readonly leader: boolean;
  readonly hasLeader: boolean;
}

/**
 * The status of every member, asked at once; sizes are those of the largest. Without version and sizes when none
 * answers, because whoever asks then needs the rest all the more. Equivalent to `etcdctl endpoint status` and
 * `etcdctl alarm list`.
 */
export async function readEtcd(options: EtcdStatusOptions, signal: AbortSignal): Promise<EtcdReport> {
  const { embedded, endpoints, tls, dataDir = '' } = options;
  const members = await Promise.all(endpoints.map((endpoint) => readMember(endpoint, tls, signal)));
  const answering = members.flatMap(({ facts }) => (facts === undefined ? [] : [facts]));
  const largest = answering.reduce<MemberFacts | undefined>(
    (most, each) => (most === undefined || each.size > most.size ? each : most),
    undefined,
  );
  const healthy = members.find(({ told }) => told.healthy);
  return {
    status: {
      ...{ embedded, endpoints: [...endpoints], dataDir, members: members.map(({ told }) => told) },
      version: largest?.version ?? '',
      databaseSize: largest?.size ?? 0n,
      databaseSizeInUse: largest?.sizeInUse ?? 0n,
      databaseQuota: largest?.quota ?? 0n,
    },
    alarms: healthy === undefined ? [] : await readAlarms(healthy.told.endpoint, tls, signal),
  };
}

interface Member {
  readonly facts: MemberFacts | undefined;
  readonly told: EtcdMember;
}

async function readMember(endpoint: string, tls: EtcdTls, signal: AbortSignal): Promise<Member> {
  try {
    const [version, metrics] = await readPages(endpoint, ['/version', '/metrics'], { tls, signal });
    const facts = readFacts(version, metrics);
    if (facts === undefined) throw new NoAnswer('what answers there is no etcd');
    const { leader, hasLeader } = facts;
    const problem = hasLeader ? '' : 'it sees no leader: too few members are there, or it is cut off from them';
    return { facts, told: { endpoint, healthy: hasLeader, leader, problem } };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { facts: undefined, told: { endpoint, healthy: false, leader: false, problem: error.message } };
  }
}

/** Pure. What etcd's `/version` and `/metrics` say; undefined for the pages of anything else. */
export function readFacts(version: string, metrics: string): MemberFacts | undefined {
  const server = versionIn(version);
  const figure = (name: string): number | undefined => {
    const text = new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1];
    return text === undefined || !Number.isFinite(Number(text)) ? undefined : Number(text);
  };
  const bytes = (name: string): bigint => BigInt(Math.round(figure(name) ?? 0));
  if (server === undefined || figure('etcd_mvcc_db_total_size_in_bytes') === undefined) return undefined;
  return {
    version: server,
    size: bytes('etcd_mvcc_db_total_size_in_bytes'),
    sizeInUse: bytes('etcd_mvcc_db_total_size_in_use_in_bytes'),
    quota: bytes('etcd_server_quota_backend_bytes'),
    leader: figure('etcd_server_is_leader') === 1,
    hasLeader: figure('etcd_server_has_leader') === 1,
  };
}

function versionIn(page: string): string | undefined {
  try {
    const answer: unknown = JSON.parse(page);
    if (typeof answer !== 'object' || answer === null || !('etcdserver' in answer)) return undefined;
    return typeof answer.etcdserver === 'string' ? answer.etcdserver : undefined;
  } catch {
    return undefined;
  }
}

/** The alarms that are raised; none where etcd does not tell them in time, or not to us. */
async function readAlarms(endpoint: string, tls: EtcdTls, signal: AbortSignal): Promise<readonly EtcdAlarm[]> {
  using connection = new EtcdConnection({ endpoints: [endpoint], tls, patienceMs: 0 });
  const soon = withDeadline(ALARMS_MS, signal);
  try {
    const { alarms } = await connection.repeat(
      (_, call, client) => client.maintenance.alarm({ action: 'Get' }, call),
      soon,
    );
    const names = new Set(alarms.map(({ alarm }) => alarm.toUpperCase()));
    return (['NOSPACE', 'CORRUPT'] as const).filter((name) => names.has(name));
  } catch (error) {
    signal.throwIfAborted();
    if (soon.aborted || error instanceof StoreUnavailable || error instanceof StoreRefused) return [];
    throw error;
  }
}
