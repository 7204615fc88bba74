/** The cluster on one screen. Pure. */
import type { EtcdStatus, GetStatusResponse } from '../../proto/gen/weft/v1/cluster.js';
import { HostState, type Host } from '../../proto/gen/weft/v1/host.js';
import { hostWord, type Paint } from './states.js';
import { renderPairs, renderTable } from './table.js';

/** `controllers` is the list that was asked. Lines without a newline at the end. */
export function renderStatus(status: GetStatusResponse, controllers: string, paint: Paint): string {
  const { hosts, revision } = status;
  const ready = hosts.filter(({ state }) => state === HostState.HOST_STATE_READY).length;
  const head = renderPairs([
    ['cluster', status.clusterId],
    ['epoch', status.epoch],
    ['controllers', `${controllers} (version ${status.version})`],
    ['etcd', status.etcd === undefined ? 'unknown' : renderEtcd(status.etcd)],
    ['revision', String(revision)],
    ['networks', String(status.networks)],
    ['endpoints', String(status.endpoints)],
    ['hosts', `${String(hosts.length)}, ${String(ready)} ready`],
  ]);
  const parts = [head];
  if (hosts.length > 0) parts.push(renderHosts(hosts, revision, paint));
  const problems = hosts.flatMap(({ name, problems: own }) =>
    own.map(({ object, message }) => `  ${name}: ${object}: ${message}`),
  );
  if (problems.length > 0) parts.push(['problems', ...problems].join('\n'));
  return parts.join('\n\n');
}

function renderEtcd({ embedded, endpoints, version, databaseSize }: EtcdStatus): string {
  const origin = embedded ? "the controller's own" : endpoints.join(',');
  return `${version}, ${renderBytes(Number(databaseSize))} on disk, ${origin}`;
}

function renderHosts(hosts: readonly Host[], revision: bigint, paint: Paint): string {
  const rows = [...hosts]
    .sort((a, b) => a.number - b.number)
    .map(({ name, vtep, state, ackedRevision, version, problems }) => [
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

/** Bytes as people read them, in powers of 1024. */
function renderBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}
