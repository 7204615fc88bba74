import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUnicast, macFromBytes, macToBytes, parseMac, randomMac, type Mac } from './mac.js';
import { ROUTER_MAC_PREFIX, routerMac } from './model.js';

describe('MACs', () => {
  it('are read in any case and kept in lower', () => {
    expect(parseMac('02:AB:cd:00:00:01')).toBe('02:ab:cd:00:00:01');
  });

  it.each(['', '02:ab:cd:00:00', '02-ab-cd-00-00-01', '02:ab:cd:00:00:0g', '02:ab:cd:00:00:01:02'])(
    'refuses %j',
    (text) => {
      expect(parseMac(text)).toBeUndefined();
    },
  );

  it('go to bytes and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        expect([...macToBytes(macFromBytes(bytes))]).toEqual([...bytes]);
      }),
    );
    expect(() => macFromBytes(new Uint8Array(5))).toThrow(RangeError);
  });

  it('made at random are unicast and locally administered', () => {
    for (let i = 0; i < 200; i += 1) {
      const mac = randomMac();
      expect(isUnicast(mac)).toBe(true);
      expect(Number.parseInt(mac.slice(0, 2), 16) & 2).toBe(2);
    }
  });

  it('that no interface may own are told apart', () => {
    expect(isUnicast('01:00:5e:00:00:01' as Mac)).toBe(false);
    expect(isUnicast('00:00:00:00:00:00' as Mac)).toBe(false);
  });

  it('of routers come from the host number', () => {
    expect(routerMac(1)).toBe('02:57:46:00:00:01');
    expect(routerMac(65535)).toBe('02:57:46:00:ff:ff');
    expect(routerMac(258).startsWith(ROUTER_MAC_PREFIX)).toBe(true);
  });
});
