/**
 * This controller among the others: `o/controllers/<id>`, there for as long as it serves. On a lease, so that the others
 * and the agents' leases do not depend on how it ends.
 */
import type { Logger } from '../../core/daemon/log.js';
import type { ControllerId } from '../../core/ids.js';
import { aborted, anySignal, backoffMs, isAborted, pause } from '../../core/lifetime.js';
import { VERSION } from '../../core/version.js';
import { putController } from '../cache/objects.js';
import type { Compare, Lease, Store } from '../store/store.js';

/** Milliseconds after which a controller that stopped without a word counts as gone. */
const LEASE_MS = 10_000;

export interface RegistrationOptions {
  readonly store: Pick<Store, 'grantLease' | 'commit'>;
  readonly id: ControllerId;
  readonly name: string;
  /** Where others reach it, as `host:port`. */
  readonly address: string;
  readonly startTimeMs: number;
  /** What must hold: that the cluster is still the one that is served. */
  readonly fence: () => Compare;
  readonly log: Logger;
  /** Milliseconds; LEASE_MS where not given. */
  readonly ttlMs?: number | undefined;
  /** Done while it is registered, by the lease: what only a controller may do that others know of. */
  readonly whileRegistered: (lease: Lease, signal: AbortSignal) => Promise<void>;
  /** It was one for others, and is not any more. */
  readonly onLost: () => void;
}

/** Registers, and does so anew whenever the lease is lost, until the signal aborts; then says goodbye at once. */
export async function stayRegistered(options: RegistrationOptions, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      await using lease = await options.store.grantLease({ ttlMs: options.ttlMs ?? LEASE_MS }, signal);
      if (!(await register(options, lease, signal))) return;
      failures = 0;
      options.log.debug({ id: options.id, address: options.address }, 'registered as a controller');
      const over = anySignal(signal, lease.lost);
      await Promise.all([options.whileRegistered(lease, over), aborted(over)]);
    } catch (error) {
      if (isAborted(signal)) return;
      options.log.warn({ err: error }, 'this controller could not be registered; trying again');
    }
    if (isAborted(signal)) return;
    options.onLost();
    await pause(backoffMs(failures, 100, 2_000), signal);
  }
}

/** Whether the cluster is still the one that is served. */
async function register(options: RegistrationOptions, lease: Lease, signal: AbortSignal): Promise<boolean> {
  const { store, id, name, address, startTimeMs, fence } = options;
  const put = putController({ id, name, address, version: VERSION, startTimeMs }, lease);
  const { committed } = await store.commit({ compares: [fence()], puts: [put], deletes: [] }, signal);
  return committed;
}
