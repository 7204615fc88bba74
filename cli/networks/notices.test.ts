import { describe, expect, it } from 'vitest';
import { Host } from '../../proto/gen/weft/v1/host.js';
import { noticesOf } from './notices.js';

const MTU = "9000 bytes do not fit the underlay's 1500; 1450 are used here";
const ROUTE = 'overlaps network web (10.1.0.0/24): sandboxes of that network do not reach what the host has there';

describe('noticesOf', () => {
  it('are those of the network that was changed, host by host', () => {
    const hosts = [
      { name: 'h10', problems: [{ object: 'h10 network web, mtu', message: MTU }] },
      {
        name: 'h2',
        problems: [
          { object: 'h2 network webb, mtu', message: MTU },
          { object: 'h2 network web, mtu', message: MTU },
          { object: 'route 10.1.0.0/16', message: ROUTE },
          { object: 'h2 sandbox web', message: 'no such device' },
        ],
      },
      { name: 'h1', problems: [] },
    ].map((host) => Host.fromPartial(host));
    expect(noticesOf('web', hosts)).toEqual([
      `h2: network web, mtu: ${MTU}`,
      `h2: route 10.1.0.0/16: ${ROUTE}`,
      `h10: network web, mtu: ${MTU}`,
    ]);
    expect(noticesOf('other', hosts)).toEqual([]);
  });
});
