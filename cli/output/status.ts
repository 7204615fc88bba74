/** The cluster on one screen. Pure. */
import type { EtcdMember, EtcdStatus, GetStatusResponse, Warning } from '../../proto/gen/weft/v1/cluster.js';
import { HostState, type Host } from '../../proto/gen/weft/v1/host.js';
import { byName } from '../natural-order.js';
import { renderBytes } from './bytes.js';
import { hostWord, type Paint } from './states.js';
import { renderPairs, renderTable } from './table.js';

/** `controllers` is the list that was asked. Lines without a newline at the end. */
export function renderStatus(status: GetStatusResponse, controllers: string, paint: Paint): string {
  const { hosts, revision, warnings } = status;
  const ready = hosts.filter(({ state }) => state === HostState.HOST_STATE_READY).length;
  const head = renderPairs([
    ['cluster', status.clusterId],
    ['epoch', status.epoch],
    ['controllers', `${controllers} (version ${status.version})`],
    ...renderEtcd(status.etcd, warnings, paint),
    ['revision', String(revision)],
    ['networks', String(status.networks)],
    ['endpoints', String(status.endpoints)],
    ['hosts', `${String(hosts.length)}, ${String(ready)} ready`],
  ]);
  const parts = [head];
  if (warnings.length > 0) {
    const lines = warnings.map(({ reason, object, message }) => `  ${object}: ${message} (${reason})`);
    parts.push([paint('warnings'), ...lines].join('\n'));
  }
  if (hosts.length > 0) parts.push(renderHosts(hosts, revision, paint));
  const problems = hosts.flatMap(({ name, problems: own }) =>
    own.map(({ object, message }) => `  ${name}: ${object}: ${message}`),
  );
  if (problems.length > 0) parts.push(['problems', ...problems].join('\n'));
  return parts.join('\n\n');
}

type Pair = readonly [name: string, value: string];

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

function renderHosts(hosts: readonly Host[], revision: bigint, paint: Paint): string {
  const rows = [...hosts].sort(byName).map(({ name, vtep, state, ackedRevision, version, problems }) => [
    name,
    vtep,
    paint(hostWord(state)),
    String(ackedRevision),
    // Revisions, not time: how many changes of the cluster the host is not known to have.
    ackedRevision < revision ? String(revision - ackedRevision) : '-',
    version,
    problems.length === 0 ? '-' : String(problems.length),
  ]);
  return renderTable(['HOST', 'VTEP', 'STATE', 'ACKED', 'BEHIND', 'VERSION', 'PROBLEMS'], rows);
}
