/** The wire's words in what people read. Pure. */
import { EndpointState } from '../../proto/gen/weft/v1/endpoint.js';
import { HostAbsence, HostAvailability, HostState } from '../../proto/gen/weft/v1/host.js';
import { SandboxState } from '../../proto/gen/weft/v1/sandbox.js';
import { absenceWord, availabilityWord, endpointWord, hostWord, sandboxWord } from './states.js';

/** A message's JSON with its states as tables have them: `ready`, where the wire says `ENDPOINT_STATE_READY`. */
export function inWords(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(inWords);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json as Readonly<Record<string, unknown>>).map(([key, value]) => [
      key,
      STATES.has(key) && typeof value === 'string' ? (WORDS.get(value) ?? value) : inWords(value),
    ]),
  );
}

/** Fields that hold such a word. */
const STATES: ReadonlySet<string> = new Set(['state', 'availability', 'absence']);

const WORDS: ReadonlyMap<string, string> = new Map([
  ...wordsOf(EndpointState, endpointWord),
  ...wordsOf(HostState, hostWord),
  ...wordsOf(HostAvailability, availabilityWord),
  ...wordsOf(HostAbsence, absenceWord),
  ...wordsOf(SandboxState, sandboxWord),
]);

function wordsOf(
  states: Readonly<Record<string, string | number>>,
  wordOf: (state: number) => string,
): [string, string][] {
  return Object.entries(states).flatMap(([name, state]): [string, string][] =>
    typeof state === 'number' && state > 0 ? [[name, wordOf(state)]] : [],
  );
}
