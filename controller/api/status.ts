/** What GetStatus says of controllers and hosts. Pure: from what is known here, and what the other controllers answered. */
import type { ControllerId } from '../../core/ids.js';
import type { Host } from '../../core/model.js';
import type { AgentCounts, ControllerStatus, EtcdStatus, Laggard, Warning } from '../../proto/gen/weft/v1/cluster.js';
import type { View } from '../cache/view.js';
import type { Survey } from '../fanout/convergence.js';

/** Laggards that are named; all are counted. */
const LAGGARDS = 100;

export interface Seen {
  readonly view: View;
  readonly self: ControllerId;
  readonly survey: Survey;
  /** Undefined: nobody, or it is not known. */
  readonly leader: string | undefined;
}

/** Every controller that is registered, by name. */
export function controllerStatuses({ view, self, survey, leader }: Seen): ControllerStatus[] {
  const agents = new Map<ControllerId, number>();
  for (const { controllerId } of view.alive.values()) agents.set(controllerId, (agents.get(controllerId) ?? 0) + 1);
  return [...view.controllers.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ id, name, address, version, startTimeMs }) => {
      const problem = survey.silences.get(id) ?? '';
      return {
        ...{ id, name, address, version, startTime: new Date(startTimeMs), leader: id === leader, self: id === self },
        ...{ reachable: problem === '', problem, agents: agents.get(id) ?? 0 },
      };
    });
}

/** How many hosts are how, and who of the living is late and why. */
export function hostStandings({ view, survey }: Seen): { readonly agents: AgentCounts; readonly laggards: Laggard[] } {
  const agents = { ready: 0, inSync: 0, behind: 0, unknown: 0, unreachable: 0, fenced: 0 };
  const late: Laggard[] = [];
  for (const host of view.hosts.values()) {
    const standing = survey.standingOf(host);
    if (standing === 'gone') {
      agents[host.absence === 'fenced' ? 'fenced' : 'unreachable'] += 1;
      continue;
    }
    agents.ready += 1;
    if (!('hostId' in standing)) {
      agents.unknown += 1;
      late.push({ ...laggard(view, host), reason: `not heard from controller ${nameOf(view, standing.controllerId)}` });
    } else if (standing.convergedRevision >= survey.asked) {
      agents.inSync += 1;
    } else {
      agents.behind += 1;
      const { ackedRevision, session, problems } = standing;
      const trouble = problems.map(({ object, message }) => `${object}: ${message}`).join(', ');
      const reason = session === '' ? 'it has no stream to a controller' : trouble;
      late.push({ ...laggard(view, host), ackedRevision, reason });
    }
  }
  late.sort((a, b) => Number(a.ackedRevision - b.ackedRevision) || (a.host < b.host ? -1 : 1));
  return { agents, laggards: late.slice(0, LAGGARDS) };
}

/** What is wrong with controllers, and what of all that is said may be old. */
export function standingWarnings(seen: Seen, etcd: EtcdStatus): Warning[] {
  const { members } = etcd;
  const isCutOff = members.length > 0 && members.filter(({ healthy }) => healthy).length * 2 <= members.length;
  const cutOff: Warning = {
    ...{ reason: 'STORE_UNAVAILABLE', object: 'etcd' },
    message: `nothing can be changed, and what is shown of the cluster is as it was at revision ${String(seen.view.revision)}; hosts go on forwarding as they are`,
  };
  const silent = controllerStatuses(seen)
    .filter(({ reachable }) => !reachable)
    .map(({ name, address, problem, agents }) => ({
      ...{ reason: 'CONTROLLER_UNREACHABLE', object: `controller ${name}` },
      message: `it does not answer at ${address} (${problem}); ${agents === 0 ? 'no host is connected to it' : `what its ${String(agents)} hosts have acknowledged is unknown`}`,
    }));
  return [...(isCutOff ? [cutOff] : []), ...silent];
}

function laggard(view: View, { id, name }: Host): Omit<Laggard, 'reason'> {
  const controllerId = view.alive.get(id)?.controllerId;
  return {
    ...{ host: name, ackedRevision: 0n },
    controller: controllerId === undefined ? '' : nameOf(view, controllerId),
  };
}

function nameOf(view: View, id: ControllerId): string {
  return view.controllers.get(id)?.name ?? id;
}
