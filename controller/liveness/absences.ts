/**
 * What is done about hosts that are not there, by the controller that leads: each is missed, given time, fenced and
 * collected (domain/host-absence.ts). Level-triggered: whatever is to be done follows from the view, so that a leader
 * that dies amid it is followed by another that goes on. And whatever a leader writes holds only while it leads.
 */
import { setMaxListeners } from 'node:events';
import type { Logger } from '../../core/daemon/log.js';
import type { HostId } from '../../core/ids.js';
import { isAborted, pause, withDeadline } from '../../core/lifetime.js';
import type { Host } from '../../core/model.js';
import type { Cache } from '../cache/cache.js';
import type { Commits } from '../commit/commit.js';
import { collectEndpoint, fenceHost, missHost } from '../domain/host-absence.js';
import { dropHost } from '../domain/host-removal.js';
import type { Compare } from '../store/store.js';

export interface AbsencesOptions {
  readonly cache: Cache;
  readonly committer: Commits;
  /** Resolves when every host that is there has what concerned it up to a revision in its kernel; rejects in the end. */
  readonly untilConverged: (revision: bigint, signal: AbortSignal) => Promise<unknown>;
  /** Milliseconds that a lost host has to come back to all that it had. */
  readonly graceMs: number;
  /** Whether more time is given to a host, for another reason. */
  readonly isAwaited: (host: HostId) => boolean;
  /** That this controller leads: compared by everything it writes. */
  readonly fence: () => Compare;
  readonly log: Logger;
}

/** Milliseconds after which it is looked again, whatever happened: nothing waits for an event that was missed. */
const LOOK_AGAIN_MS = 1_000;

/** Milliseconds after which it is said who keeps a fenced host's addresses from being free. */
const SAY_MS = 30_000;

/** Endpoints of one host that are taken back at once: some groups' worth. */
const AT_ONCE = 64;

export class Absences {
  readonly #options: AbsencesOptions;
  /** Hosts that something is being done about. */
  readonly #busy = new Map<HostId, Promise<void>>();
  #wake: () => void = () => undefined;

  constructor(options: AbsencesOptions) {
    this.#options = options;
  }

  /** Looks after all hosts until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    // Each endpoint that is taken back listens.
    setMaxListeners(0, signal);
    using _listening = this.#options.cache.subscribe(({ changes }) => {
      if (changes.some(({ kind }) => kind === 'alive' || kind === 'host' || kind === 'grace')) this.#wake();
    });
    while (!isAborted(signal)) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      for (const host of this.#options.cache.view.hosts.values()) this.#look(host, signal);
      await Promise.race([woken, pause(LOOK_AGAIN_MS, signal)]);
    }
    await Promise.all(this.#busy.values());
  }

  #look(host: Host, signal: AbortSignal): void {
    if (this.#busy.has(host.id)) return;
    const step = this.#stepFor(host, signal);
    if (step === undefined) return;
    const work = step()
      .catch((error: unknown) => {
        if (!signal.aborted)
          this.#options.log.warn({ host: host.name, err: error }, 'an absent host waits for a while');
        return pause(LOOK_AGAIN_MS, signal);
      })
      .then(() => {
        this.#busy.delete(host.id);
        this.#wake();
      });
    this.#busy.set(host.id, work);
  }

  /** What is to be done about a host now. */
  #stepFor(host: Host, signal: AbortSignal): (() => Promise<unknown>) | undefined {
    const { cache, isAwaited } = this.#options;
    const { view } = cache;
    if (host.absence === 'fenced') {
      if (view.endpointsOn(host.id).size > 0) return () => this.#collect(host, signal);
      return host.availability === 'removed' ? () => this.#drop(host, signal) : undefined;
    }
    if (view.alive.has(host.id)) return undefined;
    if (host.absence === 'none') return () => this.#miss(host, signal);
    return view.graces.has(host.id) || isAwaited(host.id) ? undefined : () => this.#fence(host, signal);
  }

  async #miss({ id: hostId, name }: Host, signal: AbortSignal): Promise<void> {
    const { committer, fence, graceMs, log } = this.#options;
    const { result } = await committer.run((context) => missHost(context, { hostId, fence: fence(), graceMs }), {
      ...{ requestId: `lost-${name}`, signal },
    });
    if (result?.absence === 'lost') log.warn({ host: name, graceMs }, 'a host is missing');
  }

  async #fence({ id: hostId, name }: Host, signal: AbortSignal): Promise<void> {
    const { committer, fence, log } = this.#options;
    const { result, revision } = await committer.run((context) => fenceHost(context, { hostId, fence: fence() }), {
      ...{ requestId: `fence-${name}`, signal },
    });
    if (result?.absence !== 'fenced') return;
    log.warn({ host: name, incarnation: result.incarnation, revision }, 'a host is shut out: it did not come back');
  }

  /** Takes back what a fenced host had, once nobody who is there listens to it any more. */
  async #collect({ id: hostId, name, revision }: Host, signal: AbortSignal): Promise<void> {
    const { cache, committer, fence, log } = this.#options;
    await this.#untilConverged(name, revision, signal);
    const endpoints = [...cache.view.endpointsOn(hostId).keys()];
    const rest = endpoints.values();
    const worker = async (): Promise<void> => {
      for (const endpointId of rest) {
        await committer.run((context) => collectEndpoint(context, { hostId, fence: fence(), endpointId }), {
          ...{ requestId: `collect-${name}`, signal },
        });
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, endpoints.length) }, worker));
    log.warn({ host: name, endpoints: endpoints.length }, 'the endpoints of a host that was shut out are taken back');
  }

  /** Lets go of the record of a host that was removed, and has nothing left. */
  async #drop({ id: hostId, name }: Host, signal: AbortSignal): Promise<void> {
    const { committer, fence, log } = this.#options;
    const { revision } = await committer.run((context) => dropHost(context, { hostId, fence: fence() }), {
      ...{ requestId: `remove-${name}`, signal },
    });
    log.info({ host: name, revision }, 'a host is removed');
  }

  async #untilConverged(host: string, revision: bigint, signal: AbortSignal): Promise<void> {
    for (;;) {
      const patience = withDeadline(SAY_MS, signal);
      try {
        await this.#options.untilConverged(revision, patience);
        return;
      } catch (error) {
        if (isAborted(signal) || !isAborted(patience)) throw error;
        this.#options.log.warn({ host, err: error }, 'what a shut out host had cannot be taken back yet');
      }
    }
  }
}
