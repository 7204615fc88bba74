/** What of the cluster needs an operator, as `weft status` says it: the most urgent first. Pure. */
import { listed } from '../../core/listed.js';
import type { Host } from '../../core/model.js';
import type { Warning } from '../../proto/gen/weft/v1/cluster.js';
import type { View } from '../cache/view.js';
import { NetworkSubnets, describeCollision, type Collision } from '../domain/collisions.js';
import { restoreUnfinished } from '../meta.js';

/** Warnings of one kind. */
const OF_ONE_KIND = 50;

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
  return [
    ...scarce.slice(0, OF_ONE_KIND),
    ...undeclared(awaited, 'nothing is allocated before it is: start the agent'),
    ...undeclared(
      givenUp,
      'it is not waited for any more, and what runs there may have lost its place: start the agent',
    ),
    ...firstCollisions(view).map((collision) => {
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

/** No more are looked for than are told: where one route is in the way of all networks on all hosts, there are a million. */
function firstCollisions(view: View): readonly Collision[] {
  const subnets = new NetworkSubnets(view);
  const found: Collision[] = [];
  for (const host of view.hosts.values()) {
    if (found.length >= OF_ONE_KIND) break;
    found.push(...subnets.collisionsOf(host, OF_ONE_KIND - found.length));
  }
  return found;
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
  return listed(hosts.map(({ name }) => name).sort());
}
