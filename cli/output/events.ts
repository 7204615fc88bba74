/** Events as people read them: one line each, whose columns stand still while lines come. */
import { EventType, type Event } from '../../proto/gen/weft/v1/watch.js';
import { endpointWord, hostWord, type Paint } from './states.js';
import { listCell } from './table.js';
import { HostAbsence, HostAvailability, type Host } from '../../proto/gen/weft/v1/host.js';

/** What ids are called. */
export interface Names {
  network(id: string): Promise<string>;
  host(id: string): Promise<string>;
}

/** What the columns are. */
export const EVENTS_HEAD = columns('REVISION', 'EVENT', 'OBJECT', 'NOW');

/** `46   created   endpoint shop on web   pending on h2, 10.1.0.5`. */
export async function renderEvent({ revision, type, object }: Event, names: Names, paint: Paint): Promise<string> {
  const what = WORDS[type] ?? 'changed';
  const line = (about: string, now: string): string => columns(String(revision), what, about, now);
  switch (object?.$case) {
    case 'network': {
      const { name, driver, subnets } = object.value;
      return line(`network ${name}`, `${driver}, ${listCell(subnets.map(({ cidr }) => cidr))}`);
    }
    case 'endpoint': {
      const { sandbox, networkId, hostId, state, addresses } = object.value;
      const about = `endpoint ${sandbox} on ${await names.network(networkId)}`;
      return line(about, `${paint(endpointWord(state))} on ${await names.host(hostId)}, ${listCell(addresses)}`);
    }
    case 'host':
      return line(`host ${object.value.name}`, hostNow(object.value, paint));
    // Of a newer Weft.
    default:
      return line('something unknown', '-');
  }
}

function hostNow({ state, vtep, absence, availability }: Host, paint: Paint): string {
  const words = [paint(hostWord(state))];
  if (absence === HostAbsence.HOST_ABSENCE_LOST) words.push('lost');
  if (absence === HostAbsence.HOST_ABSENCE_FENCED) words.push('fenced');
  if (availability === HostAvailability.HOST_AVAILABILITY_DRAINED) words.push('drained');
  return [...words, vtep].join(', ');
}

const WORDS: Readonly<Record<number, string>> = {
  [EventType.EVENT_TYPE_CREATED]: 'created',
  [EventType.EVENT_TYPE_UPDATED]: 'updated',
  [EventType.EVENT_TYPE_DELETED]: 'deleted',
};

function columns(revision: string, what: string, about: string, now: string): string {
  return `${revision.padEnd(8)}   ${what.padEnd(7)}   ${about.padEnd(28)}   ${now}`;
}
