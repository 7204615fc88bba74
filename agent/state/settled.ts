/** What this host knows, and what its kernel was brought to: the two values everything here waits for. */
import type { HostView } from '../../core/fold.js';
import type { EndpointId, HostId } from '../../core/ids.js';
import type { Problem } from '../../core/model.js';

/** The cluster's state as far as this host is told. */
export interface Known {
  readonly view: HostView;
  /** Peers that the cluster does not hear from: nobody is to be sent to their endpoints. Forwarding to them stays. */
  readonly unreachable: ReadonlySet<HostId>;
  readonly revision: bigint;
  readonly clusterId: string;
  /** Which life of the store the revision counts in: a restore begins another. */
  readonly epoch: string;
  /** This host's: another one than before, and what is missing was taken back while it was gone. */
  readonly incarnation: number;
  /** The stream that told it. */
  readonly session: string;
}

/**
 * Whether a revision is known that was had in an epoch. Once another has begun (`current`), its first view is waited for,
 * and then the revision is over, whatever its number.
 */
export function hasReached(
  known: Known,
  at: { readonly revision: bigint; readonly epoch: string | undefined },
  current: string | undefined,
): boolean {
  if (current !== undefined && known.epoch !== current) return false;
  return (at.epoch !== undefined && at.epoch !== known.epoch) || known.revision >= at.revision;
}

/** What the last pass over the kernel came to. */
export interface Settled {
  /** What the cluster had said when the pass began; undefined before the first InSync. */
  readonly known: Known | undefined;
  /** Endpoints that can send and receive. */
  readonly attached: ReadonlySet<EndpointId>;
  /** Endpoints that should be attached and are not, with the reason. */
  readonly failed: ReadonlyMap<EndpointId, string>;
  /** Removing ones of this host of which the kernel holds nothing any more. */
  readonly removed: readonly EndpointId[];
  /** Sandboxes whose namespace is there. */
  readonly sandboxes: ReadonlySet<string>;
  readonly problems: readonly Problem[];
  /** What is done otherwise than asked, because it cannot be had here. */
  readonly notices: readonly Problem[];
}

/** Before the first pass. */
export const NOTHING_SETTLED: Settled = {
  known: undefined,
  attached: new Set(),
  failed: new Map(),
  removed: [],
  sandboxes: new Set(),
  problems: [],
  notices: [],
};
