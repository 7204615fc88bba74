/** How it is said who is late, and why. Pure. */
import { WeftError } from '../../core/errors.js';
import { listed } from '../../core/listed.js';
import type { HostStanding } from './standing.js';

/** A host that is waited for. */
export interface Laggard {
  readonly name: string;
  /** Undefined: the controller that it is alive by has not said. */
  readonly standing: HostStanding | undefined;
  /** That controller, and what is known of it; undefined: it is the one that is asked. */
  readonly controller: { readonly name: string; readonly silence: string | undefined } | undefined;
}

/** Hosts that an error's metadata names: it travels in a call's trailers. */
const NAMED = 200;

/** The error of a wait whose time is up. */
export function notConverged(laggards: readonly Laggard[], revision: bigint): WeftError {
  return new WeftError({
    reason: 'NOT_CONVERGED',
    message: `revision ${String(revision)} is not in every kernel yet: ${describeLaggards(laggards)}`,
    metadata: {
      laggards: laggards
        .slice(0, NAMED)
        .map(({ name }) => name)
        .join(','),
      revision: String(revision),
    },
  });
}

/** `host h3 is at 41 (h3 network web: no such device); not heard from controller c2, of hosts h5, h7` */
function describeLaggards(laggards: readonly Laggard[]): string {
  const told = laggards.filter(({ standing }) => standing !== undefined).map(describeTold);
  const unheard = new Map<string, string[]>();
  for (const { name, standing, controller } of laggards) {
    if (standing !== undefined) continue;
    const why = controller?.silence === undefined ? '' : ` (${controller.silence})`;
    const silent = `not heard from controller ${controller?.name ?? 'unknown'}${why}`;
    unheard.set(silent, [...(unheard.get(silent) ?? []), name]);
  }
  const silences = [...unheard].map(
    ([silent, names]) => `${silent}, which has ${names.length === 1 ? 'host' : 'hosts'} ${listed(names.sort())}`,
  );
  return listed([...silences, ...told], '; ');
}

function describeTold({ name, standing }: Laggard): string {
  if (standing === undefined || standing.session === '') return `host ${name} has no stream to a controller`;
  const { ackedRevision, problems } = standing;
  const has = ackedRevision === 0n ? 'has acknowledged nothing yet' : `is at ${String(ackedRevision)}`;
  const trouble = problems.map(({ object, message }) => `${object}: ${message}`).join(', ');
  return trouble === '' ? `host ${name} ${has}` : `host ${name} ${has} (${trouble})`;
}
