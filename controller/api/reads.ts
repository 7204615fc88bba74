/** What every read shares: waiting for a revision, and finding what a name or an id means. */
import { WeftError } from '../../core/errors.js';
import { parseHostId, parseNetworkId } from '../../core/ids.js';
import { withDeadline } from '../../core/lifetime.js';
import type { Host, Network } from '../../core/model.js';
import type { Cache } from '../cache/cache.js';
import type { View } from '../cache/view.js';
import { hostNotFound } from '../domain/endpoint.js';
import { networkNotFound } from '../domain/network.js';
import type { Store } from '../store/store.js';

/** Milliseconds a read waits for its `min_revision`. */
const CATCH_UP_MS = 5_000;

/** The view at `minRevision` or later. Throws WeftError REVISION_AHEAD when it does not come to that. */
export async function viewAt(cache: Cache, minRevision: bigint, signal: AbortSignal): Promise<View> {
  try {
    await cache.atLeast(minRevision, withDeadline(CATCH_UP_MS, signal));
  } catch (error) {
    if (signal.aborted || !(error instanceof Error && error.name === 'TimeoutError')) throw error;
    throw new WeftError({
      reason: 'REVISION_AHEAD',
      message: `revision ${String(minRevision)} has not come here; this controller is at ${String(cache.view.revision)}`,
    });
  }
  return cache.view;
}

/**
 * What `find` finds in the view. Where that is nothing, and the store has one of the keys, the view is brought to where
 * that was written, and it is looked for once more: whoever asks may know what another controller wrote a moment ago.
 */
export async function findOrCatchUp<T>(
  { store, cache }: { readonly store: Pick<Store, 'get'>; readonly cache: Cache },
  sought: { readonly find: () => T | undefined; readonly keys: readonly string[]; readonly signal: AbortSignal },
): Promise<T | undefined> {
  const { find, keys, signal } = sought;
  const found = find();
  if (found !== undefined) return found;
  for (const key of keys) {
    const { entry } = await store.get(key, signal);
    if (entry === undefined) continue;
    await viewAt(cache, entry.modRevision, signal);
    return find();
  }
  return undefined;
}

/** The network with this id or name; undefined: there is none. */
export function lookUpNetwork(view: View, reference: string): Network | undefined {
  const id = parseNetworkId(reference);
  return (id === undefined ? undefined : view.networks.get(id)) ?? view.networkNamed(reference);
}

/** The network with this id or name. Throws WeftError NETWORK_NOT_FOUND. */
export function findNetwork(view: View, reference: string): Network {
  const network = lookUpNetwork(view, reference);
  if (network === undefined) throw new WeftError(networkNotFound(reference));
  return network;
}

/** The host with this id or name. Throws WeftError HOST_NOT_FOUND. */
export function findHost(view: View, reference: string): Host {
  const id = parseHostId(reference);
  const host = (id === undefined ? undefined : view.hosts.get(id)) ?? view.hostNamed(reference);
  if (host === undefined) throw new WeftError(hostNotFound(reference));
  return host;
}
