/**
 * Proven convergence: which hosts have a revision in their kernels, whichever controllers they are connected to. A wait
 * is over when every host that is alive has, by the stream by which it is alive, acknowledged everything that concerned it
 * up to the revision. It never goes by events, but looks at how things stand: at the streams here, and at what the other
 * controllers last said of theirs. Events only say when to look again.
 */
import type { ControllerId } from '../../core/ids.js';
import { deferred, unlessAborted, withDeadline } from '../../core/lifetime.js';
import type { Host } from '../../core/model.js';
import type { Cache } from '../cache/cache.js';
import type { Alive } from '../cache/objects.js';
import type { View } from '../cache/view.js';
import { stopping, type Fanout } from './fanout.js';
import { HeardOf, type PeerAnswer } from './heard.js';
import { notConverged, type Laggard } from './laggards.js';
import { PeerPoll, type PeerQuestion, type Peers } from './peer-poll.js';
import { spanOf } from './span.js';
import {
  allHere,
  convergedRevisionOf,
  placeOf,
  standingHere,
  type HostStanding,
  type Place,
  type Surroundings,
} from './standing.js';

export interface ConvergenceOptions {
  readonly fanout: Fanout;
  readonly cache: Cache;
  /** This controller, as hosts are alive by it. */
  readonly self: ControllerId;
  readonly peers: Peers;
}

interface Wait {
  readonly revision: bigint;
  /** Of the hosts that are followed here only: another controller asks. */
  readonly here: boolean;
  /** A host here that is behind: while it is, there is no need to look at the others. */
  blocker: Host | undefined;
  /** Controllers with hosts that are not known to have the revision. */
  controllers: ReadonlySet<ControllerId>;
  readonly done: (unreachable: readonly Host[]) => void;
}

export class Convergence implements Disposable {
  readonly #options: ConvergenceOptions;
  readonly #surroundings: Omit<Surroundings, 'view'>;
  readonly #waits = new Set<Wait>();
  readonly #heard = new HeardOf();
  readonly #polls = new Map<ControllerId, PeerPoll>();
  readonly #subscriptions: readonly Disposable[];
  readonly #closing = new AbortController();
  #look: NodeJS.Immediate | undefined;

  constructor(options: ConvergenceOptions) {
    const { fanout, cache, self } = options;
    this.#options = options;
    this.#surroundings = { self, streamOf: (host) => fanout.sessionOf(host) };
    this.#subscriptions = [
      fanout.onProgress(() => {
        this.#lookSoon();
      }),
      cache.subscribe(({ changes }) => {
        let moved = false;
        for (const { kind, before, after } of changes) {
          if (kind !== 'alive' && kind !== 'host' && kind !== 'controller') continue;
          moved = true;
          if (before === undefined || after !== undefined) continue;
          if (kind === 'alive') this.#heard.forget(before.hostId);
          if (kind === 'controller') this.#hangUp(before.id);
        }
        if (!moved) return;
        // Somebody else may have become the one to ask.
        for (const wait of this.#waits) wait.blocker = undefined;
        this.#lookSoon();
      }),
    ];
  }

  /**
   * Resolves when every living host has `revision`; with the hosts with endpoints that are not alive, which are not
   * waited for. When the signal aborts: WeftError NOT_CONVERGED, which names the laggards and what is in their way. The
   * view is at `revision` or later.
   */
  async wait(revision: bigint, signal: AbortSignal): Promise<readonly Host[]> {
    const unreachable = await this.#until({ revision, here: false }, signal);
    if (unreachable === undefined) throw notConverged(this.#laggards(revision), revision);
    return unreachable;
  }

  /** What this controller has to say to another one that asks. The view is at `minRevision` and `revision` or later. */
  async answer(question: PeerQuestion, signal: AbortSignal): Promise<PeerAnswer> {
    const { revision, patienceMs, laggingOnly } = question;
    if (patienceMs > 0) await this.#until({ revision, here: true }, withDeadline(patienceMs, signal));
    const { view } = this;
    const sessions = allHere({ ...this.#surroundings, view }).filter(
      ({ convergedRevision, problems }) => !laggingOnly || convergedRevision < revision || problems.length > 0,
    );
    return { revision: view.revision, sessions };
  }

  /** How these hosts stand, after asking the controllers that they are connected to. */
  async survey(hosts: readonly Host[], limits: SurveyLimits): Promise<Survey> {
    const { signal, timeoutMs, patienceMs = 0, everybody = false } = limits;
    const places = hosts.map((host) => this.#placeOf(host));
    const concerned = new Set(
      places.flatMap((place) => (place.kind === 'elsewhere' ? [place.alive.controllerId] : [])),
    );
    if (everybody) for (const id of this.view.controllers.keys()) if (id !== this.self) concerned.add(id);
    const asked = this.view.revision;
    const heard = new HeardOf();
    const silences = new Map<ControllerId, string>();
    const ask = async (controller: ControllerId): Promise<void> => {
      const question = { revision: asked, minRevision: asked, patienceMs, laggingOnly: true };
      try {
        const answer = await this.#options.peers.ask(controller, question, {
          signal,
          timeoutMs: patienceMs + timeoutMs,
        });
        await this.#options.cache.atLeast(answer.revision, withDeadline(timeoutMs, signal));
        heard.take(controller, answer, { asked, view: this.view });
      } catch (error) {
        signal.throwIfAborted();
        silences.set(controller, error instanceof Error ? error.message : String(error));
      }
    };
    const own =
      patienceMs > 0 ? this.#until({ revision: asked, here: true }, withDeadline(patienceMs, signal)) : undefined;
    await Promise.all([own, ...[...concerned].map(ask)]);
    return {
      asked,
      silences,
      standingOf: (host) => {
        const place = this.#placeOf(host);
        if (place.kind === 'gone') return 'gone';
        if (place.kind === 'here') return standingHere(host.id, place.stream, this.view.revision);
        return this.#standingHeard(heard, place.alive) ?? { controllerId: place.alive.controllerId };
      },
    };
  }

  /** This controller. */
  get self(): ControllerId {
    return this.#options.self;
  }

  get view(): View {
    return this.#options.fanout.view;
  }

  /** Every wait ends with a refusal. */
  [Symbol.dispose](): void {
    this.#closing.abort(stopping());
    clearImmediate(this.#look);
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    for (const poll of this.#polls.values()) poll[Symbol.dispose]();
    this.#waits.clear();
  }

  /**
   * The hosts with endpoints that are not alive, when all others have it; undefined: it did not come to that before the
   * signal aborted. Throws WeftError CONTROLLER_UNAVAILABLE when this ends.
   */
  async #until(
    { revision, here }: Pick<Wait, 'revision' | 'here'>,
    signal: AbortSignal,
  ): Promise<readonly Host[] | undefined> {
    this.#closing.signal.throwIfAborted();
    if (this.#options.fanout.closed) throw stopping();
    const over = deferred<readonly Host[] | undefined>();
    const giveUp = (): void => {
      over.resolve(undefined);
    };
    const wait: Wait = { revision, here, blocker: undefined, controllers: new Set(), done: over.resolve };
    this.#waits.add(wait);
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      this.#lookAt(wait);
      if (signal.aborted) giveUp();
      return await unlessAborted(over.promise, this.#closing.signal);
    } finally {
      signal.removeEventListener('abort', giveUp);
      this.#waits.delete(wait);
      for (const controller of wait.controllers) this.#polls.get(controller)?.settle();
    }
  }

  /** Once for all that happens in one turn: a change of a large network is acknowledged by a thousand hosts. */
  #lookSoon(): void {
    if (this.#waits.size === 0) return;
    this.#look ??= setImmediate(() => {
      this.#look = undefined;
      if (this.#options.fanout.closed) this.#closing.abort(stopping());
      for (const wait of [...this.#waits]) if (!this.#isBlocked(wait)) this.#lookAt(wait);
    });
  }

  #isBlocked({ blocker, revision }: Wait): boolean {
    if (blocker === undefined) return false;
    const place = this.#placeOf(blocker);
    return place.kind === 'here' && this.#convergedRevision(place) < revision;
  }

  /** Looks at every host. */
  #lookAt(wait: Wait): void {
    const controllers = new Set<ControllerId>();
    const gone: Host[] = [];
    wait.blocker = undefined;
    for (const host of this.view.hosts.values()) {
      const place = this.#placeOf(host);
      if (place.kind === 'gone') gone.push(host);
      if (place.kind === 'gone' || (wait.here && place.kind === 'elsewhere')) continue;
      if (this.#convergedRevision(place) >= wait.revision) continue;
      if (place.kind === 'here') wait.blocker ??= host;
      else controllers.add(place.alive.controllerId);
    }
    wait.controllers = controllers;
    if (wait.blocker === undefined && controllers.size === 0) {
      this.#waits.delete(wait);
      wait.done(gone.filter(({ id }) => spanOf(this.view, id).size > 0));
      return;
    }
    for (const controller of controllers) this.#pollOf(controller).kick();
  }

  #placeOf(host: Host): Place {
    return placeOf({ ...this.#surroundings, view: this.view }, this.view.hosts.get(host.id) ?? host);
  }

  #convergedRevision(place: Exclude<Place, { kind: 'gone' }>): bigint {
    if (place.kind === 'elsewhere') return this.#heard.convergedRevision(place.alive);
    return convergedRevisionOf(place.stream, this.view.revision);
  }

  #pollOf(controller: ControllerId): PeerPoll {
    const known = this.#polls.get(controller);
    if (known !== undefined) return known;
    const { peers, cache } = this.#options;
    const poll = new PeerPoll({
      ...{ controller, peers },
      demand: () => this.#demandOf(controller),
      viewRevision: () => this.view.revision,
      catchUp: (revision, signal) => cache.atLeast(revision, signal),
      onAnswer: (answer, asked) => {
        this.#heard.take(controller, answer, { asked, view: this.view });
        for (const wait of [...this.#waits]) if (wait.controllers.has(controller)) this.#lookAt(wait);
      },
    });
    this.#polls.set(controller, poll);
    return poll;
  }

  #hangUp(controller: ControllerId): void {
    this.#polls.get(controller)?.[Symbol.dispose]();
    this.#polls.delete(controller);
  }

  #demandOf(controller: ControllerId): bigint | undefined {
    let lowest: bigint | undefined;
    for (const { revision, controllers } of this.#waits) {
      if (controllers.has(controller) && (lowest === undefined || revision < lowest)) lowest = revision;
    }
    return lowest;
  }

  #laggards(revision: bigint): readonly Laggard[] {
    const found: Laggard[] = [];
    const hosts = [...this.view.hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const host of hosts) {
      const place = this.#placeOf(host);
      if (place.kind === 'gone' || this.#convergedRevision(place) >= revision) continue;
      const { name } = host;
      if (place.kind === 'here') {
        const standing = standingHere(host.id, place.stream, this.view.revision);
        found.push({ name, standing, controller: undefined });
      } else {
        const { controllerId } = place.alive;
        const silence = this.#polls.get(controllerId)?.silence;
        const controller = { name: this.view.controllers.get(controllerId)?.name ?? controllerId, silence };
        // What it said before it fell silent is not how things are now.
        found.push({ name, standing: silence === undefined ? this.#heard.told(place.alive) : undefined, controller });
      }
    }
    return found;
  }

  #standingHeard(heard: HeardOf, alive: Alive): HostStanding | undefined {
    if (!heard.has(alive)) return undefined;
    const { hostId, session } = alive;
    const convergedRevision = heard.convergedRevision(alive);
    return heard.told(alive) ?? { hostId, session, ackedRevision: convergedRevision, convergedRevision, problems: [] };
  }
}

export interface SurveyLimits {
  readonly signal: AbortSignal;
  /** In which each controller answers. */
  readonly timeoutMs: number;
  /** On top of that: in which hosts that are behind may catch up. */
  readonly patienceMs?: number;
  /** Ask also controllers that have none of the hosts. */
  readonly everybody?: boolean;
}

/** How hosts stood when it was asked. */
export interface Survey {
  /** The revision that hosts were asked for; who has it has everything that there was then. */
  readonly asked: bigint;
  /** Controllers that did not answer, and why. */
  readonly silences: ReadonlyMap<ControllerId, string>;
  /** `gone`: not alive. Only a controller: it has not said. */
  readonly standingOf: (host: Host) => HostStanding | { readonly controllerId: ControllerId } | 'gone';
}
