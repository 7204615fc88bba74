/** The cluster on one screen: what is well is counted, what is not is named. Pure. */
import type {
  ControllerStatus,
  EtcdMember,
  EtcdStatus,
  GetStatusResponse,
  Warning,
} from '../../proto/gen/weft/v1/cluster.js';
import { HostAbsence, HostState, type Host } from '../../proto/gen/weft/v1/host.js';
import { byName } from '../natural-order.js';
import { renderBytes } from './bytes.js';
import { hostWord, type Paint } from './states.js';
import { renderPairs, renderTable } from './table.js';

/** Warnings, hosts and etcd members that are named; JSON has all. */
const WARNINGS = 8;
const HOSTS = 8;
const CONTROLLERS = 5;

/** `asked` is the list of controllers that was asked. Lines without a newline at the end. */
export function renderStatus(status: GetStatusResponse, asked: string, paint: Paint): string {
  const { revision, warnings } = status;
  const parts = [
    renderPairs([
      ['cluster', status.clusterId],
      ['epoch', status.epoch],
      ...renderControllers(status, asked, paint),
      ...renderEtcd(status.etcd, warnings, paint),
      ['revision', String(revision)],
      ['networks', String(status.networks)],
      ['endpoints', String(status.endpoints)],
      ['hosts', renderCounts(status, paint)],
    ]),
  ];
  if (warnings.length > 0) {
    const lines = warnings
      .slice(0, WARNINGS)
      .map(({ reason, object, message }) => `  ${object}: ${message} (${reason})`);
    const more = moreThan(WARNINGS, warnings.length, 'weft status --json');
    parts.push([paint('warnings'), ...lines, ...more.map((line) => `  ${line}`)].join('\n'));
  }
  const unwell = renderUnwell(status, paint);
  if (unwell !== undefined) parts.push(unwell);
  return parts.join('\n\n');
}

type Pair = readonly [name: string, value: string];

function renderControllers({ controllers, version }: GetStatusResponse, asked: string, paint: Paint): Pair[] {
  // One that is restoring knows of no others.
  if (controllers.length === 0) return [['controllers', `${asked} (version ${version})`]];
  // Those that are down are not left out.
  const order = [...controllers].sort((a, b) => Number(a.reachable) - Number(b.reachable));
  const shown = new Set(order.slice(0, CONTROLLERS));
  const lines = controllers.filter((each) => shown.has(each)).map((each) => controllerLine(each, paint));
  const more = moreThan(CONTROLLERS, controllers.length, 'weft status --json');
  return [...lines, ...more].map((line, index) => [index === 0 ? 'controllers' : '', line]);
}

function controllerLine(controller: ControllerStatus, paint: Paint): string {
  const { name, address, version, leader, self, reachable, problem, agents } = controller;
  const state = reachable ? paint('ready') : `${paint('down')}: ${problem}`;
  const marks = [...(leader ? ['leader'] : []), ...(self ? ['answers this'] : [])];
  return [`${name} ${address} ${state}`, `version ${version}`, `${String(agents)} agents`, ...marks].join(', ');
}

/** `1000: 997 ready (995 in sync, 2 behind), 3 unreachable` */
function renderCounts({ hosts, agents }: GetStatusResponse, paint: Paint): string {
  // One that is restoring knows of none.
  if (agents === undefined || hosts.length === 0) return String(hosts.length);
  const { ready, inSync, behind, unknown, unreachable, fenced } = agents;
  const some = (count: number, word: string): string[] => (count === 0 ? [] : [`${String(count)} ${word}`]);
  const detail = [...some(inSync, 'in sync'), ...some(behind, 'behind'), ...some(unknown, 'not heard of')];
  const living = `${String(ready)} ${paint('ready')}${detail.length === 0 ? '' : ` (${detail.join(', ')})`}`;
  const gone = [...some(unreachable, paint('unreachable')), ...some(fenced, paint('fenced'))];
  return `${String(hosts.length)}: ${[living, ...gone].join(', ')}`;
}

/** The hosts that are not as they should be, and why; undefined: all are. */
function renderUnwell({ hosts, laggards, revision }: GetStatusResponse, paint: Paint): string | undefined {
  const reasons = new Map(laggards.map(({ host, reason }) => [host, reason]));
  const rows = [...hosts].sort(byName).flatMap((host) => {
    const { name, state, ackedRevision, problems } = host;
    const isReady = state === HostState.HOST_STATE_READY;
    if (isReady && problems.length === 0 && !reasons.has(name)) return [];
    const late = reasons.has(name) && ackedRevision > 0n ? String(revision - ackedRevision) : '?';
    const acked = ackedRevision > 0n ? String(ackedRevision) : '?';
    // Revisions, not time: how many changes of the cluster the host is not known to have.
    const figures = isReady ? [acked, reasons.has(name) ? late : '-'] : ['-', '-'];
    return [[name, paint(stateOf(host)), ...figures, whyOf(host, reasons.get(name))]];
  });
  if (rows.length === 0) return undefined;
  const table = renderTable(['HOST', 'STATE', 'ACKED', 'BEHIND', 'WHY'], rows.slice(0, HOSTS));
  return [table, ...moreThan(HOSTS, rows.length, 'weft host ls')].join('\n');
}

function stateOf({ state, absence }: Host): string {
  return absence === HostAbsence.HOST_ABSENCE_FENCED ? 'fenced' : hostWord(state);
}

/** In one line: the first of its problems stands for the others. */
function whyOf({ state, absence, problems }: Host, reason: string | undefined): string {
  if (absence === HostAbsence.HOST_ABSENCE_FENCED) return 'nobody listens to it before it is back';
  if (state !== HostState.HOST_STATE_READY) return 'no controller hears from its agent';
  const [first] = problems;
  if (first === undefined) return reason === undefined || reason === '' ? 'it has not said' : reason;
  const more = problems.length > 1 ? ` (and ${String(problems.length - 1)} more: weft host inspect)` : '';
  return `${first.object}: ${first.message}${more}`;
}

function moreThan(most: number, count: number, where: string): string[] {
  return count > most ? [`and ${String(count - most)} more: ${where}`] : [];
}

function renderEtcd(etcd: EtcdStatus | undefined, warnings: readonly Warning[], paint: Paint): Pair[] {
  if (etcd === undefined) return [['etcd', paint('unknown')]];
  const { embedded, dataDir, endpoints, version, members } = etcd;
  const own = dataDir === '' ? "the controller's own" : `the controller's own, in ${dataDir}`;
  const several = members.length > 1 ? `${String(members.length)} members` : endpoints.join(',');
  const origin = embedded ? own : several;
  const known = version === '' ? '' : `, version ${version}`;
  return [
    ['etcd', `${paint(etcdWord(members, warnings))}${known}, ${origin}`],
    ['', renderSizes(etcd)],
    // A single member that is well has nothing to add.
    ...(members.length > 1 || members.some(({ healthy }) => !healthy)
      ? members.map((each) => memberLine(each, paint))
      : []),
  ];
}

/** What of etcd works: `degraded` where some of it does not, or will not for long. */
function etcdWord(members: readonly EtcdMember[], warnings: readonly Warning[]): string {
  const healthy = members.filter((member) => member.healthy).length;
  if (members.length > 0 && healthy * 2 <= members.length) return 'unavailable';
  if (warnings.some(({ reason }) => reason === 'ETCD_CORRUPT')) return 'damaged';
  if (warnings.some(({ reason }) => reason === 'ETCD_NO_SPACE')) return 'full';
  const ill = healthy < members.length || warnings.some(({ reason }) => reason.startsWith('ETCD_'));
  return ill ? 'degraded' : 'healthy';
}

function renderSizes({ version, databaseSize, databaseSizeInUse, databaseQuota }: EtcdStatus): string {
  // Nobody answered who could say.
  if (version === '') return 'size unknown';
  const size = Number(databaseSize);
  const parts = [`${renderBytes(size)} on disk`];
  if (databaseSizeInUse > 0n) parts.push(`${renderBytes(Number(databaseSizeInUse))} in use`);
  if (databaseQuota > 0n) {
    const quota = Number(databaseQuota);
    parts.push(`quota ${renderBytes(quota)} (${((size / quota) * 100).toFixed(0)} % of it)`);
  }
  return parts.join(', ');
}

function memberLine({ endpoint, healthy, leader, problem }: EtcdMember, paint: Paint): Pair {
  if (!healthy) return ['', `${endpoint} ${paint('down')}${problem === '' ? '' : `: ${problem}`}`];
  return ['', `${endpoint} ${paint('healthy')}${leader ? ', leader' : ''}`];
}
