/** What needs an operator, as `weft status` says it: the most urgent first. Pure. */
import type { Host } from '../core/model.js';
import type { Warning } from '../proto/gen/weft/v1/cluster.js';
import type { View } from './cache/view.js';
import { collisionsOf, describeCollision } from './domain/collisions.js';
import type { EtcdReport } from './etcd-status.js';
import { restoreUnfinished } from './meta.js';

/** Share of etcd's quota from which on there is a warning. */
const NEARLY_FULL_PERCENT = 80n;

/** Names that one warning has, and warnings of one kind. */
const NAMED = 10;
const OF_ONE_KIND = 50;

/** What of etcd needs somebody. */
export function etcdWarnings({ status, alarms }: EtcdReport): readonly Warning[] {
  const { embedded, members, databaseQuota: quota, databaseSize: size, databaseSizeInUse: inUse } = status;
  const etcd = embedded ? 'etcd' : `etcd ${status.endpoints.join(',')}`;
  const warnings: Warning[] = [];
  const figures = quota === 0n ? '' : ` (${mebibytes(size)} of ${mebibytes(quota)}, ${mebibytes(inUse)} in use)`;
  if (alarms.includes('NOSPACE')) {
    warnings.push({
      ...{ reason: 'ETCD_NO_SPACE', object: etcd },
      message: embedded
        ? `it has reached its space quota${figures} and takes no writes; the controller compacts and defragments it by itself, and where that frees nothing, remove what is not needed or raise --etcd-quota`
        : `it has reached its space quota${figures} and takes no writes: compact and defragment every member (etcdctl compact, defrag), raise --quota-backend-bytes if that is not enough, then etcdctl alarm disarm`,
    });
  }
  if (alarms.includes('CORRUPT')) {
    warnings.push({
      ...{ reason: 'ETCD_CORRUPT', object: etcd },
      message: embedded
        ? 'its data is damaged and it takes no writes: take weft backup, stop the controller, move the etcd directory of its data directory away, start it and run weft restore'
        : 'its members do not hold the same data and it takes no writes: replace the member that differs, then etcdctl alarm disarm',
    });
  }
  for (const { endpoint, healthy, problem } of members) {
    if (healthy) continue;
    warnings.push({
      ...{ reason: 'ETCD_MEMBER_DOWN', object: `etcd ${endpoint}` },
      message: embedded
        ? `${problem}; the controller starts it again by itself, and etcd.log in its data directory says why it ended`
        : `${problem}; start the member again, or replace it: with fewer than half of the members nothing can be changed`,
    });
  }
  if (!alarms.includes('NOSPACE') && quota > 0n && size * 100n >= quota * NEARLY_FULL_PERCENT) {
    warnings.push({
      ...{ reason: 'ETCD_NEARLY_FULL', object: etcd },
      message: embedded
        ? `it nears its space quota${figures}; the controller gives back what is not in use, and past the quota nothing can be changed`
        : `it nears its space quota${figures}, past which it takes no writes: see that it compacts by itself (--auto-compaction-retention), defragment every member, or raise --quota-backend-bytes`,
    });
  }
  return warnings;
}

/** What of the cluster's own state needs somebody. */
export interface Concerns {
  readonly view: View;
  /** Networks that run out of addresses. */
  readonly scarce: readonly Warning[];
  /** Hosts that have not said what they run since a restore. */
  readonly awaited: readonly Host[];
  /** Those of them that are not waited for any more. */
  readonly givenUp: readonly Host[];
}

/** Those of a controller that serves. */
export function clusterWarnings({ view, scarce, awaited, givenUp }: Concerns): readonly Warning[] {
  const collisions = collisionsOf(view, view.hosts.values()).slice(0, OF_ONE_KIND);
  return [
    ...scarce.slice(0, OF_ONE_KIND),
    ...undeclared(awaited, 'nothing is allocated before it is: start the agent'),
    ...undeclared(
      givenUp,
      'it is not waited for any more, and what runs there may have lost its place: start the agent',
    ),
    ...collisions.map((collision) => {
      const { object, message } = describeCollision(collision);
      return {
        ...{ reason: 'SUBNET_COLLIDES', object: `network ${collision.network.name}` },
        message: `${object} of host ${collision.host.name} ${message}`,
      };
    }),
  ];
}

/** The one that stands in front of all others while a restore is not through. */
export function restoreWarning(): Warning {
  return { reason: 'RESTORE_UNFINISHED', object: 'cluster', message: restoreUnfinished().message };
}

function undeclared(hosts: readonly Host[], consequence: string): readonly Warning[] {
  if (hosts.length === 0) return [];
  const object = `${hosts.length === 1 ? 'host' : 'hosts'} ${namesOf(hosts)}`;
  return [
    {
      reason: 'HOSTS_UNDECLARED',
      object,
      message: `nothing was heard since the restore of what runs there; ${consequence}`,
    },
  ];
}

/** The names of hosts, as far as a sentence takes them. */
export function namesOf(hosts: readonly Host[]): string {
  const names = hosts.map(({ name }) => name).sort();
  const more = names.length > NAMED ? ` and ${String(names.length - NAMED)} more` : '';
  return `${names.slice(0, NAMED).join(', ')}${more}`;
}

function mebibytes(bytes: bigint): string {
  return `${String((bytes + (1n << 19n)) >> 20n)} MiB`;
}
