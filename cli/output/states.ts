/** States as people read them: lower-case words, coloured where somebody watches. */
import pc from 'picocolors';
import { EndpointState } from '../../proto/gen/weft/v1/endpoint.js';
import { HostAbsence, HostAvailability, HostState } from '../../proto/gen/weft/v1/host.js';
import { SandboxState } from '../../proto/gen/weft/v1/sandbox.js';
import type { Surroundings } from '../surroundings.js';

export type Paint = (word: string) => string;

const COLOURS: Readonly<Record<string, 'green' | 'yellow' | 'red'>> = {
  ready: 'green',
  pending: 'yellow',
  removing: 'yellow',
  unreachable: 'red',
  fenced: 'red',
  healthy: 'green',
  degraded: 'yellow',
  full: 'red',
  damaged: 'red',
  unavailable: 'red',
  down: 'red',
  warnings: 'yellow',
};

/** How state words are painted on stdout: plainly when it is no terminal, or NO_COLOR is set. */
export function makePaint({ stdout, env }: Pick<Surroundings, 'stdout' | 'env'>): Paint {
  const colours = pc.createColors(stdout.isTty && (env['NO_COLOR'] ?? '') === '');
  return (word) => {
    const colour = COLOURS[word];
    return colour === undefined ? word : colours[colour](word);
  };
}

export function endpointWord(state: EndpointState): string {
  return word('ENDPOINT_STATE_', EndpointState[state]);
}

export function hostWord(state: HostState): string {
  return word('HOST_STATE_', HostState[state]);
}

export function availabilityWord(availability: HostAvailability): string {
  return word('HOST_AVAILABILITY_', HostAvailability[availability]);
}

export function absenceWord(absence: HostAbsence): string {
  return word('HOST_ABSENCE_', HostAbsence[absence]);
}

export function sandboxWord(state: SandboxState): string {
  return word('SANDBOX_STATE_', SandboxState[state]);
}

/** A state of a later version has no name here. */
function word(prefix: string, name: string | undefined): string {
  return name === undefined ? 'unknown' : name.slice(prefix.length).toLowerCase();
}
