/** What of etcd needs an operator, as `weft status` says it: the most urgent first. Pure. */
import type { Warning } from '../../proto/gen/weft/v1/cluster.js';
import type { EtcdReport } from './etcd-status.js';

/** Share of etcd's quota from which on there is a warning. */
const NEARLY_FULL_PERCENT = 80n;

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

function mebibytes(bytes: bigint): string {
  return `${String((bytes + (1n << 19n)) >> 20n)} MiB`;
}
