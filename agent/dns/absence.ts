/** Saying that something is not there, in the way resolvers understand (RFC 2308). */
import { ABSENCE_TTL_S, type Reply } from './handler.js';
import type { Zone } from './view.js';

/**
 * `NOERROR` without answers (the name exists, but not this type of it) or `NXDOMAIN`. The SOA belongs to the network
 * for names under it, and to the root for bare names, whose parent that is; its TTL is what limits how long the absence
 * is believed.
 */
export function absent(rcode: 'NOERROR' | 'NXDOMAIN', zone: Zone | undefined): Reply {
  const owner = zone?.network.name ?? '.';
  const under = (label: string): string => (zone === undefined ? label : `${label}.${owner}`);
  return {
    rcode,
    authoritative: true,
    answers: [],
    authorities: [
      {
        type: 'SOA',
        name: owner,
        ttl: ABSENCE_TTL_S,
        data: {
          mname: under('gateway'),
          rname: under('weft'),
          serial: Number(BigInt.asUintN(32, zone?.network.revision ?? 0n)),
          // For secondaries, of which there are none.
          refresh: 3600,
          retry: 600,
          expire: 86_400,
          minimum: ABSENCE_TTL_S,
        },
      },
    ],
  };
}
