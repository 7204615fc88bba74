/** Proven convergence: which hosts have a revision in their kernels. */
import { WeftError } from '../../core/errors.js';
import { listed } from '../../core/listed.js';
import type { Host } from '../../core/model.js';
import type { View } from '../cache/view.js';
import { stopping, type Fanout } from './fanout.js';
import type { Session } from './session.js';
import { spanOf } from './span.js';

/** A host that is waited for. */
export interface Laggard {
  readonly host: Host;
  /** Undefined: it has no stream at the moment, and is expected back. */
  readonly session: Session | undefined;
}

/** Where a revision stands. */
export interface Standing {
  /** Hosts it concerns that have not acknowledged it. */
  readonly laggards: readonly Laggard[];
  /** Hosts with endpoints and without a stream; they are not waited for. */
  readonly unreachable: readonly Host[];
}

/** A host has converged at a revision when nothing that concerned it up to there is unacknowledged. */
function hasConverged(session: Session, revision: bigint): boolean {
  const open = session.openRevision;
  return open === undefined || open > revision;
}

/** Where `revision` stands now. */
function standingOf(fanout: Fanout, revision: bigint): Standing {
  const behind = [...fanout.sessions].filter((session) => !hasConverged(session, revision));
  const lost = hostsWithoutStream(fanout, fanout.view);
  return {
    laggards: [
      ...behind.map((session) => ({ host: session.host, session })),
      ...lost.filter(({ id }) => fanout.isExpected(id)).map((host) => ({ host, session: undefined })),
    ],
    unreachable: lost.filter(({ id }) => !fanout.isExpected(id)),
  };
}

/**
 * Resolves when every reachable host concerned has `revision`; with the unreachable ones. When the signal aborts:
 * WeftError NOT_CONVERGED, which names the laggards and what is in their way. The view is at `revision` or later.
 */
export function waitForConvergence(fanout: Fanout, revision: bigint, signal: AbortSignal): Promise<readonly Host[]> {
  return new Promise((resolve, reject) => {
    const subscription = fanout.onProgress(check);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    else check();

    function check(): void {
      if (fanout.closed) {
        finish();
        reject(stopping());
        return;
      }
      const { laggards, unreachable } = standingOf(fanout, revision);
      if (laggards.length > 0) return;
      finish();
      resolve(unreachable);
    }

    function giveUp(): void {
      finish();
      reject(notConverged(standingOf(fanout, revision), revision));
    }

    function finish(): void {
      subscription[Symbol.dispose]();
      signal.removeEventListener('abort', giveUp);
    }
  });
}

function hostsWithoutStream(fanout: Fanout, view: View): readonly Host[] {
  return [...view.hosts.values()].filter(({ id }) => fanout.sessionOf(id) === undefined && spanOf(view, id).size > 0);
}

function notConverged({ laggards }: Standing, revision: bigint): WeftError {
  return new WeftError({
    reason: 'NOT_CONVERGED',
    message: `revision ${String(revision)} is not in every kernel yet: ${listed(laggards.map(describe), '; ')}`,
    metadata: { laggards: laggards.map(({ host }) => host.name).join(','), revision: String(revision) },
  });
}

function describe({ host, session }: Laggard): string {
  if (session === undefined) return `host ${host.name} has no stream to a controller`;
  const { ackedRevision, problems } = session;
  const has = ackedRevision === 0n ? 'has acknowledged nothing yet' : `is at ${String(ackedRevision)}`;
  const trouble = problems.map(({ object, message }) => `${object}: ${message}`).join(', ');
  return trouble === '' ? `host ${host.name} ${has}` : `host ${host.name} ${has} (${trouble})`;
}
