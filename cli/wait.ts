/** --wait: until every host concerned has a revision in its kernel. */
import { WeftError } from '../core/errors.js';
import { listed } from '../core/listed.js';
import { HostState, type Host } from '../proto/gen/weft/v1/host.js';
import type { Controllers } from './connect.js';
import type { Invocation } from './invocation.js';
import { withProgress } from './output/progress.js';

/** How long the question may take who is late, after the time was up. */
const LAGGARDS_TIMEOUT_MS = 2000;

/** Returns when every reachable host that `revision` concerns has it. Rejects with WeftError NOT_CONVERGED that names the late ones. */
export async function waitFor(
  invocation: Invocation,
  { cluster, ask }: Pick<Controllers, 'cluster' | 'ask'>,
  revision: bigint,
): Promise<void> {
  const laggards = async (signal: AbortSignal): Promise<string> => {
    const limits = { signal, timeoutMs: LAGGARDS_TIMEOUT_MS };
    const { hosts } = await ask(cluster.getStatus.bind(cluster), {}, limits);
    return describeLaggards(hosts, revision);
  };
  try {
    const { unreachableHosts } = await withProgress(
      invocation.surroundings.stderr,
      async (signal) => `waiting for ${await laggards(signal)}...`,
      () => ask(cluster.wait.bind(cluster), { revision }),
    );
    if (unreachableHosts.length > 0)
      invocation.note(`not waited for, because unreachable: ${unreachableHosts.join(', ')}`);
  } catch (error) {
    // The deadline has passed here before the controller could say who is late: ask.
    if (!(error instanceof WeftError) || error.reason !== 'TIMED_OUT') throw error;
    const late = await laggards(AbortSignal.timeout(LAGGARDS_TIMEOUT_MS)).catch(() => 'some hosts');
    const seconds = String(invocation.globals.timeoutMs / 1000);
    throw new WeftError(
      { reason: 'NOT_CONVERGED', message: `it is done, but ${seconds} s were not enough for ${late}` },
      { cause: error },
    );
  }
}

/** The reachable hosts that are not known to have `revision`: `h3 (acked 41 of 45)`. */
export function describeLaggards(hosts: readonly Host[], revision: bigint): string {
  const late = hosts.filter(
    ({ state, ackedRevision }) => state === HostState.HOST_STATE_READY && ackedRevision < revision,
  );
  if (late.length === 0) return 'the controllers to say so';
  return listed(
    late.map(({ name, ackedRevision }) => {
      const acked = ackedRevision === 0n ? 'nothing' : String(ackedRevision);
      return `${name} (acked ${acked} of ${String(revision)})`;
    }),
  );
}
