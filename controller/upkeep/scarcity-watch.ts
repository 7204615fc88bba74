/** Follows which networks run out of addresses: one line in the log when one does, and a list for whoever asks. */
import type { NetworkId } from '../../core/ids.js';
import type { Logger } from '../../core/daemon/log.js';
import type { Warning } from '../../proto/gen/weft/v1/cluster.js';
import type { Cache } from '../cache/cache.js';
import type { ObjectChange } from '../cache/view.js';
import { describeScarcity, newlyScarce, scarcityOf, type Scarcity } from '../domain/scarcity.js';

/** How many networks are scarce of addresses, for the metrics. */
export interface ScarcityObserver {
  counted(networks: number): void;
}

export interface ScarcityWatchOptions {
  readonly cache: Cache;
  readonly log: Logger;
  readonly observer: ScarcityObserver;
  /** Milliseconds for which changes are gathered before a network is counted again. Default 1,000. */
  readonly gatherMs?: number;
}

export class ScarcityWatch implements Disposable {
  readonly #options: ScarcityWatchOptions;
  readonly #scarce = new Map<NetworkId, readonly Scarcity[]>();
  /** Networks that changed since they were counted. */
  readonly #changed: Set<NetworkId>;
  readonly #subscription: Disposable;
  #timer: NodeJS.Timeout | undefined;

  /** Begins with every network that the cache has. */
  constructor(options: ScarcityWatchOptions) {
    this.#options = options;
    this.#changed = new Set(options.cache.view.networks.keys());
    this.#subscription = options.cache.subscribe(({ changes }) => {
      for (const change of changes) this.#note(change);
      this.#arrange();
    });
    this.#arrange();
  }

  /** What is scarce now, the scarcest first. */
  warnings(): readonly Warning[] {
    this.#count();
    return [...this.#scarce.values()]
      .flat()
      .sort((a, b) => (a.free < b.free ? -1 : a.free > b.free ? 1 : a.network < b.network ? -1 : 1))
      .map((each) => ({
        reason: 'ADDRESSES_SCARCE',
        object: `network ${each.network}`,
        message: describeScarcity(each),
      }));
  }

  #note(change: ObjectChange): void {
    switch (change.kind) {
      case 'network':
        for (const each of [change.before, change.after]) if (each !== undefined) this.#changed.add(each.id);
        return;
      case 'endpoint':
      case 'resting':
        for (const each of [change.before, change.after]) if (each !== undefined) this.#changed.add(each.networkId);
        return;
      case 'host':
      case 'alive':
      case 'grace':
      case 'controller':
        return;
    }
  }

  #arrange(): void {
    if (this.#changed.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#count();
    }, this.#options.gatherMs ?? 1_000);
    // Nobody waits for it: a controller that ends need not warn.
    this.#timer.unref();
  }

  #count(): void {
    const { cache, log, observer } = this.#options;
    if (this.#changed.size === 0) return;
    for (const id of this.#changed) {
      const before = this.#scarce.get(id) ?? [];
      const after = scarcityOf(cache.view, id, before);
      if (after.length === 0) this.#scarce.delete(id);
      else this.#scarce.set(id, after);
      for (const each of newlyScarce(before, after)) {
        const { networkId, network, family, total, used, resting, free } = each;
        const figures = { networkId, network, family, total, used, resting, free };
        log.warn(figures, `network ${network} is running out of addresses: ${describeScarcity(each)}`);
      }
    }
    this.#changed.clear();
    observer.counted(this.#scarce.size);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
