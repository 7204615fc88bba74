/** Sandboxes whose records cannot be read: what the cluster's state tells of them. */
import type { HostView } from '../../core/fold.js';
import type { HostId } from '../../core/ids.js';
import type { LocalSandbox } from '../state/desired.js';

/**
 * Pure: sandboxes of those names with the endpoints they have on this host. Left out, a sandbox whose programs run would
 * be taken for one that is gone, and its namespace deleted. The names of its interfaces are known to the record alone,
 * so they are given again in the order in which the endpoints last changed.
 */
export function salvage(names: readonly string[], view: HostView, hostId: HostId): LocalSandbox[] {
  const endpoints = [...view.values()].flatMap((network) => [...network.endpoints.values()]);
  return names.map((name) => ({
    name,
    attachments: endpoints
      .filter((endpoint) => endpoint.hostId === hostId && endpoint.sandbox === name && endpoint.state !== 'removing')
      .sort((a, b) => (a.revision < b.revision ? -1 : a.revision > b.revision ? 1 : 0))
      .map(({ id }, at) => ({ endpointId: id, ifname: `eth${String(at)}` })),
  }));
}
