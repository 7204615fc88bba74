import { describe, expect, it } from 'vitest';
import { parsePing } from './ping.js';

describe('parsePing', () => {
  it('reads counts and the mean', () => {
    const output = `PING 10.7.0.3 (10.7.0.3) 56(84) bytes of data.

--- 10.7.0.3 ping statistics ---
20 packets transmitted, 19 received, 5% packet loss, time 190ms
rtt min/avg/max/mdev = 0.051/0.083/0.310/0.020 ms
`;
    expect(parsePing(output)).toEqual({ sent: 20, received: 19, meanMs: 0.083 });
  });

  it('knows when nothing came back', () => {
    const output = '3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2031ms\n';
    expect(parsePing(output)).toEqual({ sent: 3, received: 0, meanMs: undefined });
  });

  it('refuses what is not ping', () => {
    expect(() => parsePing('bash: ping: command not found')).toThrow("not ping's output");
  });
});
