/** Addresses back to names: `7.0.1.10.in-addr.arpa` is `db.backend`. */
import { contains, ipFromBytes, type IpAddress } from '../../../core/address.js';
import { absent } from '../absence.js';
import type { DnsHandler } from '../handler.js';

/** Answers for addresses in the subnets of networks that the asker sees; passes on all others. */
export const reverseHandler: DnsHandler = {
  name: 'reverse',
  answer: ({ labels, name, type, zones }) => {
    const address = addressOf(labels);
    if (address === undefined) return undefined;
    // Networks that the asker does not see may have the same subnet; of those that it sees, the asked one comes first.
    const zone = zones.find((candidate) => candidate.network.subnets.some(({ cidr }) => contains(cidr, address)));
    if (zone === undefined) return undefined;
    const endpoint = zone.endpointAt(address);
    if (endpoint === undefined || endpoint.state === 'removing') return absent('NXDOMAIN', zone);
    if (type !== 'PTR') return absent('NOERROR', zone);
    const data = `${endpoint.name}.${zone.network.name}`;
    return {
      rcode: 'NOERROR',
      authoritative: true,
      answers: [{ type: 'PTR', name, ttl: zone.ttlSeconds, data }],
      authorities: [],
    };
  },
};

/** The address a whole reverse name stands for; undefined for any other name, also for a part of one. */
function addressOf(labels: readonly string[]): IpAddress | undefined {
  const digits = labels.slice(0, -2).reverse();
  switch (labels.slice(-2).join('.')) {
    case 'in-addr.arpa':
      if (digits.length !== 4 || !digits.every((label) => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) < 256)) {
        return undefined;
      }
      return ipFromBytes(Uint8Array.from(digits, Number));
    case 'ip6.arpa':
      if (digits.length !== 32 || !digits.every((label) => /^[0-9a-f]$/.test(label))) return undefined;
      return ipFromBytes(Buffer.from(digits.join(''), 'hex'));
    default:
      return undefined;
  }
}
