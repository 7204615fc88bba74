/** One epoch after the other, on one port, until the signal aborts. */
import { aborted, isAborted } from '../core/lifetime.js';
import { restoringServices } from './api/restoring.js';
import type { Offer, RunningServer } from './api/server.js';
import { openEpoch, type Epoch, type EpochOptions } from './epoch.js';
import type { Meta } from './meta.js';

export interface ServingOptions extends EpochOptions {
  readonly loadMeta: () => Promise<Meta>;
  readonly listen: (services: Offer) => Promise<RunningServer>;
  /** Where others reach this controller, which listens at this port: `host:port`. */
  readonly addressAt: (port: number) => string;
  /** Called with each epoch that is served. */
  readonly onReady: (epoch: Epoch, meta: Meta, server: RunningServer) => void;
}

/** Rejects with what is wrong with the store's state, or with where to listen. */
export async function serveCluster(options: ServingOptions, signal: AbortSignal): Promise<void> {
  let server: RunningServer | undefined;
  try {
    while (!signal.aborted) {
      const meta = await options.loadMeta();
      await using epoch = await openEpoch(options, meta, signal);
      if (epoch === undefined) return;
      if (server === undefined) server = await options.listen(epoch.services);
      else server.offer(epoch.services);
      epoch.register(options.addressAt(server.port));
      options.onReady(epoch, meta, server);
      await Promise.race([aborted(signal), epoch.over]);
      // Before the server: it would wait for the agents' streams.
      epoch.dismiss();
      if (isAborted(signal)) await server[Symbol.asyncDispose]();
      else server.offer(restoringServices(options.serve, { ...options, meta }));
    }
  } finally {
    await server?.[Symbol.asyncDispose]();
  }
}
