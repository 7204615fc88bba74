/**
 * Names of endpoints: `db` and `db.backend`.
 *
 * A bare name is the first network's that has it, the asked one first: two networks may both have a `db`, and an answer
 * that mixed them would send half of the connections to the wrong one.
 */
import type { StringAnswer } from 'dns-packet';
import type { Family, IpAddress } from '../../../core/address.js';
import { nameKey } from '../../../core/name.js';
import { absent } from '../absence.js';
import type { DnsHandler, Question, Reply } from '../handler.js';
import type { Zone } from '../view.js';

const FAMILY: Readonly<Record<string, Family>> = { A: 4, AAAA: 6 };

/** Answers every bare name, and every name under a network that the asker sees; passes on all others. */
export function namesHandler(): DnsHandler {
  // Where the next answer starts: several addresses of one name take turns.
  let turn = 0;
  return {
    name: 'names',
    answer: (question) => {
      const place = placeOf(question);
      if (place === undefined) return undefined;
      if (place.rcode === 'NXDOMAIN' || place.zone === undefined) return absent(place.rcode, place.parent);
      if (question.type === 'ANY') return unlisted(question, place.zone);
      const family = FAMILY[question.type];
      const addresses = family === undefined ? [] : place.zone.addressesOf(place.key, family);
      if (addresses.length === 0) return absent('NOERROR', place.parent);
      turn = (turn + 1) % 0x7fff_ffff;
      return found(question, place.zone, rotate(addresses, turn));
    },
  };
}

interface Place {
  readonly rcode: 'NOERROR' | 'NXDOMAIN';
  /** Where the name has endpoints. */
  readonly zone: Zone | undefined;
  readonly key: string;
  /** Whose SOA says what is absent. */
  readonly parent: Zone | undefined;
}

function placeOf({ labels, zones }: Question): Place | undefined {
  const last = labels.at(-1);
  const key = labels[0];
  if (last === undefined || key === undefined || zones.length === 0) return undefined;
  const network = zones.find((zone) => nameKey(zone.network.name) === last);
  if (labels.length === 1) {
    const zone = zones.find((candidate) => candidate.has(key));
    // A network's own name has no address, but names below it do: saying NXDOMAIN would deny those, too (RFC 8020).
    const rcode = zone === undefined && network === undefined ? 'NXDOMAIN' : 'NOERROR';
    return { rcode, zone, key, parent: undefined };
  }
  if (network === undefined) return undefined;
  const zone = labels.length === 2 && network.has(key) ? network : undefined;
  return { rcode: zone === undefined ? 'NXDOMAIN' : 'NOERROR', zone, key, parent: network };
}

function found(question: Question, { ttlSeconds: ttl }: Zone, addresses: readonly IpAddress[]): Reply {
  const answers = addresses.map((data): StringAnswer => {
    return { type: question.type === 'A' ? 'A' : 'AAAA', name: question.name, ttl, data };
  });
  return { rcode: 'NOERROR', authoritative: true, answers, authorities: [] };
}

/** ANY is refused the polite way of RFC 8482: an answer that says so, so that nobody tries again. */
function unlisted({ name }: Question, { ttlSeconds: ttl }: Zone): Reply {
  return {
    rcode: 'NOERROR',
    authoritative: true,
    answers: [{ type: 'HINFO', name, ttl, data: { cpu: 'RFC8482', os: '' } }],
    authorities: [],
  };
}

function rotate<T>(items: readonly T[], by: number): readonly T[] {
  const start = by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
