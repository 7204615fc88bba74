/** Hosts as they are stored, with what only running controllers know of them. */
import type { Host, Problem } from '../../core/model.js';
import { encodeHost } from '../../proto/codec.js';
import { HostState, type Host as HostMessage } from '../../proto/gen/weft/v1/host.js';
import { NetworkSubnets, describeCollision } from '../domain/collisions.js';
import type { Convergence, Survey } from '../fanout/convergence.js';

/** Collisions that a host's message names. */
const COLLISIONS = 20;

/** Milliseconds that another controller has to tell of its hosts. */
const SURVEY_MS = 1_000;

/** The hosts' messages, after asking the controllers that they are connected to. One that does not answer costs a second. */
export async function toMessages(
  convergence: Convergence,
  hosts: readonly Host[],
  signal: AbortSignal,
): Promise<HostMessage[]> {
  const survey = await convergence.survey(hosts, { signal, timeoutMs: SURVEY_MS });
  return describeHosts(convergence, hosts, survey);
}

/** The same from what was asked before. */
export function describeHosts({ view }: Convergence, hosts: readonly Host[], survey: Survey): HostMessage[] {
  const subnets = new NetworkSubnets(view);
  return hosts.map((host) => {
    const collisions = subnets.collisionsOf(host, COLLISIONS).map(describeCollision);
    const { problems, ...standing } = standingOf(survey, host);
    return { ...encodeHost(host), ...standing, problems: [...problems, ...collisions].map((each) => ({ ...each })) };
  });

  function standingOf(
    { asked, standingOf: stands, silences }: Survey,
    host: Host,
  ): Pick<HostMessage, 'state' | 'ackedRevision'> & { readonly problems: readonly Problem[] } {
    const standing = stands(host);
    if (standing === 'gone') return { state: HostState.HOST_STATE_UNREACHABLE, ackedRevision: 0n, problems: [] };
    const state = HostState.HOST_STATE_READY;
    if (!('hostId' in standing)) {
      const name = view.controllers.get(standing.controllerId)?.name ?? standing.controllerId;
      const why = silences.get(standing.controllerId) ?? 'the host has just come there';
      const message = `what this host has acknowledged is not known: ${why}`;
      return { state, ackedRevision: 0n, problems: [{ object: `controller ${name}`, message }] };
    }
    const { ackedRevision, convergedRevision, problems } = standing;
    // With nothing open, it has everything there is.
    return { state, ackedRevision: convergedRevision >= asked ? convergedRevision : ackedRevision, problems };
  }
}
