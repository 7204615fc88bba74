/** Stands for what one controller does for all: cleaning up after hosts that are gone. */
import type { Logger } from '../../core/daemon/log.js';
import { asError } from '../../core/errors.js';
import type { ControllerId } from '../../core/ids.js';
import { anySignal, backoffMs, isAborted, pause } from '../../core/lifetime.js';
import { Deposed, campaign } from '../store/election.js';
import { LEADER } from '../store/keys.js';
import { LeaseLost, type Compare, type Lease, type Store } from '../store/store.js';

export interface LeadOptions {
  readonly store: Store;
  readonly id: ControllerId;
  /** This controller's, of its own. */
  readonly lease: Lease;
  readonly log: Logger;
  /** Done while it leads; everything that it writes compares `fence()`. */
  readonly work: (fence: () => Compare, signal: AbortSignal) => Promise<void>;
}

/** Stands, leads, and stands again, until the signal aborts or the lease is lost. */
export async function lead({ store, id, lease, log, work }: LeadOptions, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted; failures += 1) {
    try {
      await using leadership = await campaign({ store, name: LEADER, value: Buffer.from(id), lease }, signal);
      failures = 0;
      log.info({ id }, 'this controller leads');
      await work(() => leadership.fence(), anySignal(signal, leadership.lost));
    } catch (error) {
      if (isAborted(signal) || error instanceof LeaseLost) return;
      const level = error instanceof Deposed ? 'info' : 'warn';
      log[level]({ err: asError(error) }, 'this controller does not lead any more');
    }
    await pause(backoffMs(failures, 50, 1_000), signal);
  }
}
