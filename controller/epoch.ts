/**
 * Everything that serves the cluster at one epoch: what is known of the state, who may change it and how, and every
 * agent's stream. When the store comes to hold another state (a restore), all of it ends and is made anew.
 */
import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/daemon/log.js';
import { newControllerId } from '../core/ids.js';
import { aborted, deferred, inBackground, isAborted, unlessAborted } from '../core/lifetime.js';
import { agentSyncService } from './api/agent-sync-service.js';
import { clusterService } from './api/cluster-service.js';
import { endpointService } from './api/endpoint-service.js';
import { hostService } from './api/host-service.js';
import { networkService } from './api/network-service.js';
import { PeerChannels, type PeerIdentity } from './api/peer-channels.js';
import { peerService } from './api/peer-service.js';
import { restoringServices } from './api/restoring.js';
import type { Serve } from './api/serve.js';
import type { Offer, Services } from './api/server.js';
import { watchService } from './api/watch-service.js';
import type { Restores } from './backup/restores.js';
import { CacheAudit } from './cache/audit.js';
import { Cache } from './cache/cache.js';
import { Committer } from './commit/commit.js';
import { Declarations } from './upkeep/declarations.js';
import type { Settings } from './domain/settings.js';
import { defaultPools, type SubnetPool } from './domain/subnet-pool.js';
import type { EtcdReport } from './etcd/etcd-status.js';
import { Events } from './events/events.js';
import { Convergence } from './fanout/convergence.js';
import { Fanout, stopping } from './fanout/fanout.js';
import { Absences } from './liveness/absences.js';
import { HostLeases } from './liveness/host-leases.js';
import { lead } from './liveness/leader.js';
import { stayRegistered } from './liveness/registration.js';
import { HistoryTrimmer } from './upkeep/history.js';
import { restoreUnfinished, untilMetaChanges, type Meta } from './meta.js';
import type { ControllerMetrics } from './metrics.js';
import { ScarcityWatch } from './upkeep/scarcity-watch.js';
import { guardKey, objectKey } from './store/keys.js';
import { StoreUnavailable, type Compare, type Lease, type Store } from './store/store.js';

/** Milliseconds that a host that is gone has to come back to all that it had. */
const HOST_GRACE_MS = 300_000;

/** What epochs share. */
export interface EpochOptions {
  /** This controller's. */
  readonly name: string;
  readonly store: Store;
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: Settings;
  /** Holders of addresses that are remembered at most. */
  readonly historyRecords: number;
  /** Empty: the defaults, which follow the cluster's id. */
  readonly pools: readonly SubnetPool[];
  readonly metrics: ControllerMetrics;
  readonly serve: Serve;
  readonly readEtcd: (signal: AbortSignal) => Promise<EtcdReport>;
  readonly restores: Restores;
  /** What the other controllers know this one by. */
  readonly identity: PeerIdentity;
  /** Milliseconds for which hosts are waited for after a restore; the default where undefined. */
  readonly declarePatienceMs?: number;
  /** Milliseconds without a sign of life after which a host counts as gone; the default where undefined. */
  readonly hostLeaseMs?: number;
  /** Milliseconds that a host that is gone has to come back to all that it had; the default where undefined. */
  readonly hostGraceMs?: number;
}

export interface Epoch extends AsyncDisposable {
  readonly services: Offer;
  /** Resolves when the store holds another state; rejects when following it failed for good. */
  readonly over: Promise<void>;
  /** The revision that is known here, and agents that follow. */
  readonly revision: () => bigint;
  readonly streams: () => number;
  /** Why it cannot serve just now, a sentence each; none: it can. */
  unready(): readonly string[];
  /** Tells the other controllers that this one serves, and where it is reached: `host:port`. */
  register(address: string): void;
  /** Ends every agent's stream and every client's watch, which do not end by themselves. */
  dismiss(): void;
}

/** Returns when it can serve; undefined: the signal aborted before. */
export async function openEpoch(options: EpochOptions, meta: Meta, signal: AbortSignal): Promise<Epoch | undefined> {
  return meta.restoring ? openRestoring(options, meta) : openServing(options, meta, signal);
}

/** While a restore is not through. */
function openRestoring({ store, serve, readEtcd, restores }: EpochOptions, meta: Meta): Epoch {
  const waiting = inBackground((ended) => untilMetaChanges(store, meta, ended));
  return {
    services: restoringServices(serve, { meta, readEtcd, restores }),
    over: waiting.done,
    revision: () => meta.metaRevision,
    streams: () => 0,
    unready: () => [restoreUnfinished().message],
    register: () => undefined,
    dismiss: () => undefined,
    [Symbol.asyncDispose]: () => waiting[Symbol.asyncDispose](),
  };
}

async function openServing(options: EpochOptions, meta: Meta, signal: AbortSignal): Promise<Epoch | undefined> {
  const { store, log, clock, settings, metrics, serve, readEtcd, restores } = options;
  const { clusterId, epoch, metaRevision } = meta;
  const cache = new Cache({ store, log, onMalformed: metrics.onMalformed, metaRevision });
  const following = inBackground((ended) => cache.run(ended));
  await Promise.race([cache.listed, following.done, aborted(signal)]);
  if (signal.aborted) {
    await following[Symbol.asyncDispose]();
    return undefined;
  }
  const audit = new CacheAudit({ cache, store, log, observer: metrics.audit });
  const auditing = inBackground((ended) => audit.run(ended));
  const fanout = new Fanout({ cache, observer: metrics.fanout, clusterId, epoch });
  const events = new Events({ store, cache, epoch, log });
  const fence = (): Compare => ({ kind: 'unchanged', key: objectKey.meta(), modRevision: metaRevision });
  const committer = new Committer({ store, cache, observer: metrics.commit, clock, settings, fence });
  const controllerId = newControllerId();
  const peers = new PeerChannels({ cache, identity: options.identity });
  const convergence = new Convergence({ fanout, cache, self: controllerId, peers });
  const leases = new HostLeases({ store, cache, committer, controllerId, log, ttlMs: options.hostLeaseMs });
  const absences = (leads: () => Compare): Absences =>
    new Absences({
      ...{ cache, committer, fence: leads, graceMs: options.hostGraceMs ?? HOST_GRACE_MS, log },
      untilConverged: (revision, until) => convergence.wait(revision, until),
      isAwaited: (host) => declarations.awaited().some(({ id }) => id === host),
    });
  const address = deferred<string>();
  let held: Lease | undefined;
  const registering = inBackground(async (ended) => {
    await stayRegistered(
      {
        ...{ store, id: controllerId, name: options.name, address: await unlessAborted(address.promise, ended) },
        ...{ startTimeMs: clock.now().getTime(), fence, log },
        whileRegistered: (lease, until) => {
          held = lease;
          return lead(
            { store, id: controllerId, lease, log, work: (leads, leading) => absences(leads).run(leading) },
            until,
          );
        },
        onLost: () => {
          // Where there are others, agents are better off with them: what this one tells is old, and their own leases end.
          if ([...cache.view.controllers.keys()].every((id) => id === controllerId)) return;
          fanout.dismiss(stopping());
          events.dismiss(stopping());
        },
      },
      ended,
    );
  });
  const trimmer = new HistoryTrimmer({ store, log, records: options.historyRecords, fence });
  const trimming = inBackground((ended) => trimmer.run(ended));
  const waited = await hasWaited(store, epoch, signal);
  const declarations = new Declarations({
    ...{ view: () => cache.view, epoch, clock, log },
    patienceMs: waited ? 0 : options.declarePatienceMs,
    onGivenUp: () => {
      const put = { key: guardKey.epoch(epoch), value: Buffer.from(epoch) };
      store.commit({ compares: [fence()], puts: [put], deletes: [] }, signal).catch((error: unknown) => {
        log.warn({ err: error }, 'it is not written down that hosts were given up; the next controller waits again');
      });
    },
  });
  const gated = declarations.gate(committer);
  const scarcity = new ScarcityWatch({ cache, log, observer: metrics.scarcity });
  const pools = options.pools.length > 0 ? options.pools : defaultPools(clusterId);
  const services: Services = {
    network: networkService(serve, { cache, committer: gated, clock, pools }),
    endpoint: endpointService(serve, { store, cache, committer: gated, clock }),
    host: hostService(serve, { cache, committer, convergence }),
    cluster: clusterService(serve, {
      ...{ store, cache, convergence, meta, clock, readEtcd, declarations, restores },
      scarce: () => scarcity.warnings(),
    }),
    watch: watchService(serve, { cache, events, meta }),
    agentSync: agentSyncService(serve, { cache, committer, fanout, leases, meta, observer: metrics.sync }),
    peer: peerService(serve, { cache, convergence }),
  };
  return {
    services,
    over: Promise.race([following.done, auditing.done, trimming.done]),
    revision: () => cache.view.revision,
    streams: () => fanout.size,
    unready: () => {
      if (fanout.closed) return [stopping().message];
      // It is renewed every few seconds, by the store's answers.
      if (held === undefined) return ['it is starting: the other controllers cannot know of it yet'];
      return held.lost.aborted ? ['the store has not answered for ten seconds'] : [];
    },
    register: address.resolve,
    dismiss: () => {
      convergence[Symbol.dispose]();
      fanout[Symbol.dispose]();
      events[Symbol.dispose]();
    },
    [Symbol.asyncDispose]: async () => {
      convergence[Symbol.dispose]();
      peers[Symbol.dispose]();
      fanout[Symbol.dispose]();
      events[Symbol.dispose]();
      declarations[Symbol.dispose]();
      scarcity[Symbol.dispose]();
      await leases[Symbol.asyncDispose]();
      await registering[Symbol.asyncDispose]();
      await trimming[Symbol.asyncDispose]();
      await auditing[Symbol.asyncDispose]();
      await following[Symbol.asyncDispose]();
    },
  };
}

/** Whether some controller has waited for hosts for long enough in this epoch. */
async function hasWaited(store: Store, epoch: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await store.get(guardKey.epoch(epoch), signal)).entry !== undefined;
  } catch (error) {
    // Then it waits once more, which harms nobody.
    if (isAborted(signal) || error instanceof StoreUnavailable) return false;
    throw error;
  }
}
