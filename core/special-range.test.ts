import { describe, expect, it } from 'vitest';
import { parseCidr, parseIp, type Cidr, type IpAddress } from './address.js';
import { objectionToRange } from './special-range.js';

const read = (text: string): IpAddress | Cidr => {
  const value = parseCidr(text) ?? parseIp(text);
  if (value === undefined) throw new Error(`${text} is neither`);
  return value;
};

describe('objectionToRange', () => {
  it.each([
    ['0.0.0.0', 'no address yet'],
    ['127.0.0.1', 'loopback'],
    ['127.4.0.0/16', 'loopback'],
    ['169.254.7.0/24', 'link-local'],
    ['224.0.0.1', 'multicast'],
    ['192.0.0.0/2', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['255.255.255.0/24', 'broadcast'],
    ['::', 'no address'],
    ['::1', 'loopback'],
    ['::/64', 'loopback'],
    ['fe80::1', 'link-local'],
    ['fe80::/64', 'link-local'],
    ['ff02::/64', 'multicast'],
  ])('objects to %s', (text, why) => {
    expect(objectionToRange(read(text))).toContain(why);
  });

  it.each(['10.0.0.0/8', '1.0.0.1', '126.255.255.255', '128.0.0.0/8', '192.0.2.1', '240.0.0.0/24', '223.255.255.0/24'])(
    'has nothing against %s',
    (text) => {
      expect(objectionToRange(read(text))).toBeUndefined();
    },
  );

  it.each(['2001:db8::1', 'fd00::/64', '0:0:1::/64', 'fec0::/64', '64:ff9b::/96'])('has nothing against %s', (text) => {
    expect(objectionToRange(read(text))).toBeUndefined();
  });
});
