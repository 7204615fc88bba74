/** Which peers the cluster does not hear from, as one stream has told. */
import type { HostView } from '../../core/fold.js';
import { parseHostId, type HostId } from '../../core/ids.js';
import { WireError } from '../../proto/codec.js';
import type { Liveness } from '../../proto/gen/weft/v1/agent_sync.js';

export class Unreachable {
  #hosts: ReadonlySet<HostId> = new Set();

  /** The same object as long as nothing in it changed. */
  get hosts(): ReadonlySet<HostId> {
    return this.#hosts;
  }

  /** Throws WireError. */
  take({ unreachableHostIds, reachableHostIds }: Liveness): void {
    const next = new Set(this.#hosts);
    for (const id of unreachableHostIds) next.add(read('liveness.unreachable_host_ids', id));
    for (const id of reachableHostIds) next.delete(read('liveness.reachable_host_ids', id));
    this.#hosts = next;
  }

  /** Forgets those that are no peers any more: whether they return is not told. They are told anew with their next network. */
  keepPeersOf(view: HostView): void {
    const networks = [...view.values()];
    const kept = [...this.#hosts].filter((id) => networks.some(({ peers }) => peers.has(id)));
    if (kept.length < this.#hosts.size) this.#hosts = new Set(kept);
  }
}

function read(field: string, text: string): HostId {
  const id = parseHostId(text);
  if (id === undefined) throw new WireError(field, text);
  return id;
}
