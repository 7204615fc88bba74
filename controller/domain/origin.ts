/** Where a host comes from, by what its agent followed last: whether this state is its own, and the one it knew. */
import type { Rejection } from '../../core/errors.js';
import type { Host } from '../../core/model.js';
import type { Meta } from '../meta.js';

/** What an agent followed last; both empty: nothing yet. */
export interface LastFollowed {
  readonly clusterId: string;
  readonly epoch: string;
}

/**
 * `here`: it followed this very state, or none yet. `before`: it followed what this state was restored from or over, and
 * may run what this state lacks. `elsewhere`: it followed what this cluster knows nothing of.
 */
export type Origin = 'here' | 'before' | 'elsewhere';

/**
 * Pure. Only a cluster that was restored has a before. Of the epochs before, those are remembered that the store and the
 * backup were in; one that began and ended after the backup, in a store that is lost, is known by the cluster's id.
 *
 * @param known the host as the state has it
 */
export function originOf(
  { clusterId, epoch }: LastFollowed,
  known: Host | undefined,
  meta: Pick<Meta, 'clusterId' | 'epoch' | 'formerEpochs' | 'backup'>,
): Origin {
  if (epoch === '' || epoch === meta.epoch) return 'here';
  if (meta.backup === undefined) return 'elsewhere';
  if (meta.formerEpochs.includes(epoch) || clusterId === meta.clusterId) return 'before';
  // An agent that did not write down yet which cluster it followed: then it counts that the state knows the host.
  return clusterId === '' && known !== undefined ? 'before' : 'elsewhere';
}

/** The refusal of a host that runs what another cluster gave it: to follow this one, it would have to end all of that. */
export function clusterDiffers(name: string, last: LastFollowed, { clusterId }: Pick<Meta, 'clusterId'>): Rejection {
  const other = last.clusterId === '' ? 'another cluster' : `another cluster, ${last.clusterId}`;
  return {
    reason: 'CLUSTER_DIFFERS',
    message:
      `host ${name} follows ${other}, and this is ${clusterId}: restore a backup of that cluster here, or remove ` +
      `followed.json from the host's state directory and start its agent again, which ends what it runs of the other one`,
    metadata: { clusterId },
  };
}
