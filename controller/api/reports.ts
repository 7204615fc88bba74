/**
 * What an agent says became of its endpoints, turned into transactions. Level-triggered: the agent says everything
 * again until the state shows it, so what cannot be done now is simply left to the next report.
 */
import { setMaxListeners } from 'node:events';
import type { Logger } from '../../core/daemon/log.js';
import { WeftError } from '../../core/errors.js';
import { parseEndpointId, type EndpointId, type HostId } from '../../core/ids.js';
import type { EndpointState } from '../../core/model.js';
import type { Report } from '../../proto/gen/weft/v1/agent_sync.js';
import type { Cache } from '../cache/cache.js';
import type { Committer } from '../commit/commit.js';
import { deleteEndpoint, markReady, releaseEndpoint } from '../domain/endpoint.js';
import { StoreUnavailable } from '../store/store.js';

/** Commits of one stream that are under way at once: some groups' worth, and no host keeps others waiting. */
const AT_ONCE = 64;

export interface ReportsOptions {
  readonly cache: Cache;
  readonly committer: Committer;
  readonly hostId: HostId;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Whether the host has acknowledged the state in this stream. */
  readonly isInSync: () => boolean;
  /** Milliseconds for which an endpoint is missed before that is believed; the default where undefined. */
  readonly leakMs?: number;
}

/** Milliseconds for which a host misses an endpoint before that is believed. */
const LEAK_MS = 5_000;

/** What becomes of an endpoint in this state, and how the log says so. */
const STEPS = {
  pending: { rule: markReady, what: 'endpoint is ready' },
  ready: { rule: deleteEndpoint, what: 'endpoint was leaked: its host does not have it' },
  removing: { rule: releaseEndpoint, what: 'endpoint is gone' },
} as const;

export class Reports {
  readonly #options: ReportsOptions;
  /** Endpoints that are waiting their turn; at most those of the host. */
  readonly #waiting = new Map<EndpointId, EndpointState>();
  readonly #running = new Map<EndpointId, { readonly from: EndpointState; readonly work: Promise<void> }>();

  /** Since when each endpoint is missed. */
  readonly #suspects = new Map<string, number>();

  constructor(options: ReportsOptions) {
    this.#options = options;
    // As many wait with it as are under way; Node takes more than ten for a leak, and says so on stderr.
    setMaxListeners(0, options.signal);
  }

  /** Takes a report in; what it says of endpoints that are not in that state, or another host's, means nothing. */
  take(report: Report): void {
    for (const id of report.readyEndpointIds) this.#note(id, 'pending');
    for (const id of report.removedEndpointIds) this.#note(id, 'removing');
    this.#suspect(new Set(report.leakedEndpointIds));
    this.#start();
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    this.#waiting.clear();
    await Promise.all([...this.#running.values()].map(({ work }) => work));
  }

  /**
   * Endpoints that the host does not have, and that nobody asked it to remove. Only what it has missed for a while, in
   * this very stream and knowing the state, is believed: a view that is late, or a record that is being written, is no
   * leak.
   */
  #suspect(leaked: ReadonlySet<string>): void {
    for (const id of this.#suspects.keys()) if (!leaked.has(id)) this.#suspects.delete(id);
    if (!this.#options.isInSync()) return;
    for (const id of leaked) {
      const sinceMs = this.#suspects.get(id);
      if (sinceMs === undefined) this.#suspects.set(id, performance.now());
      else if (performance.now() - sinceMs >= (this.#options.leakMs ?? LEAK_MS)) this.#note(id, 'ready');
    }
  }

  #note(text: string, from: EndpointState): void {
    const { cache, hostId } = this.#options;
    const id = parseEndpointId(text);
    const endpoint = id === undefined ? undefined : cache.view.endpoints.get(id);
    if (endpoint?.hostId !== hostId || endpoint.state !== from) return;
    // Of an endpoint that was ready and is gone already, the second report may come while the first is being written.
    if (this.#running.get(endpoint.id)?.from !== from) this.#waiting.set(endpoint.id, from);
  }

  #start(): void {
    for (const [id, from] of this.#waiting) {
      if (this.#running.size >= AT_ONCE || this.#options.signal.aborted) return;
      if (this.#running.has(id)) continue;
      this.#waiting.delete(id);
      const work = this.#write(id, from).finally(() => {
        this.#running.delete(id);
        this.#start();
      });
      this.#running.set(id, { from, work });
    }
  }

  async #write(id: EndpointId, from: EndpointState): Promise<void> {
    const { cache, committer, hostId, signal, log } = this.#options;
    const endpoint = cache.view.endpoints.get(id);
    const requestId = endpoint?.requestId ?? '';
    const { rule, what } = STEPS[from];
    try {
      const { revision } = await committer.run((context) => rule(context, { id, hostId }), { requestId, signal });
      log.info({ requestId, endpointId: id, sandbox: endpoint?.sandbox, revision }, what);
    } catch (error) {
      if (signal.aborted) return;
      const expected = error instanceof WeftError || error instanceof StoreUnavailable;
      log[expected ? 'warn' : 'error']({ requestId, endpointId: id, err: error }, 'a report could not be recorded');
    }
  }
}
