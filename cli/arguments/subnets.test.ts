import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundsOf, contains, ipFromNumber, makeCidr } from '../../core/address.js';
import { WeftError } from '../../core/errors.js';
import { parseSubnets, type SubnetOptions } from './subnets.js';

describe('parseSubnets', () => {
  it('gives each gateway, range and auxiliary address to the subnet it lies in', () => {
    expect(
      parseSubnets({
        subnet: ['10.1.0.0/24', 'fd00:1::/64', '10.2.0.0/16'],
        gateway: ['fd00:1::fe', '10.2.0.254'],
        ipRange: ['10.2.7.0/24', '10.1.0.128/25'],
        auxAddress: ['printer=10.2.0.9', 'router=fd00:1::9', 'spare=10.2.0.10'],
      }),
    ).toEqual([
      { cidr: '10.1.0.0/24', gateway: '', ipRange: '10.1.0.128/25', auxAddresses: {} },
      { cidr: 'fd00:1::/64', gateway: 'fd00:1::fe', ipRange: '', auxAddresses: { router: 'fd00:1::9' } },
      {
        cidr: '10.2.0.0/16',
        gateway: '10.2.0.254',
        ipRange: '10.2.7.0/24',
        auxAddresses: { printer: '10.2.0.9', spare: '10.2.0.10' },
      },
    ]);
  });

  it('is nothing when nothing was typed', () => {
    expect(parseSubnets({})).toEqual([]);
  });

  it('writes addresses in one form', () => {
    expect(parseSubnets({ subnet: ['FD00:0001::/64'], gateway: ['fd00:1:0:0:0:0:0:00fe'] })).toEqual([
      { cidr: 'fd00:1::/64', gateway: 'fd00:1::fe', ipRange: '', auxAddresses: {} },
    ]);
  });

  it('sends a gateway to the one subnet that contains it, whatever the order', () => {
    const subnets = fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(subnets, fc.nat(), fc.integer({ min: 1, max: 254 }), (thirds, pick, host) => {
        const cidrs = thirds.map((third) => makeCidr(4, (10n << 24n) | (BigInt(third) << 8n), 24));
        const chosen = cidrs[pick % cidrs.length] ?? makeCidr(4, 0n, 24);
        const gateway = ipFromNumber(4, boundsOf(chosen).first + BigInt(host));
        const requests = parseSubnets({ subnet: cidrs, gateway: [gateway] });
        expect(requests.map(({ cidr }) => cidr)).toEqual(cidrs);
        for (const { cidr, gateway: given } of requests) {
          const inside = cidrs.find((each) => each === cidr && contains(each, gateway)) !== undefined;
          expect(given).toBe(inside ? gateway : '');
        }
      }),
    );
  });

  const refused: readonly (readonly [SubnetOptions, field: string, says: RegExp])[] = [
    [{ subnet: ['10.1.0.0'] }, '--subnet', /no subnet/],
    [{ subnet: ['10.1.0.0/33'] }, '--subnet', /no subnet/],
    [{ subnet: ['10.1/16'] }, '--subnet', /no subnet/],
    [{ subnet: ['10.01.0.0/16'] }, '--subnet', /no subnet/],
    [{ subnet: ['fd00::/129'] }, '--subnet', /no subnet/],
    [{ subnet: [''] }, '--subnet', /no subnet/],
    [{ subnet: ['10.1.0.7/24'] }, '--subnet', /the subnet is 10\.1\.0\.0\/24/],
    [{ gateway: ['10.1.0.1'] }, '--gateway', /give one with --subnet/],
    [{ subnet: ['10.1.0.0/24'], gateway: ['10.2.0.1'] }, '--gateway', /10\.2\.0\.1 is in none/],
    [{ subnet: ['10.1.0.0/24'], gateway: ['fd00::1'] }, '--gateway', /fd00::1 is in none/],
    [{ subnet: ['10.1.0.0/24'], gateway: ['10.1.0'] }, '--gateway', /no IP address/],
    [{ subnet: ['10.1.0.0/24'], gateway: ['10.1.0.1', '10.1.0.2'] }, '--gateway', /10\.1\.0\.2 is the second/],
    [{ subnet: ['10.1.0.0/24'], ipRange: ['10.1.0.0/16'] }, '--ip-range', /in none/],
    [{ subnet: ['10.1.0.0/24'], ipRange: ['10.1.0.1/25'] }, '--ip-range', /the subnet is 10\.1\.0\.0\/25/],
    [{ subnet: ['10.1.0.0/24'], ipRange: ['10.1.0.0/25', '10.1.0.128/25'] }, '--ip-range', /the second/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['10.1.0.9'] }, '--aux-address', /not NAME=IP/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['=10.1.0.9'] }, '--aux-address', /not NAME=IP/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['a b=10.1.0.9'] }, '--aux-address', /a name has/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['a=10.1.0.999'] }, '--aux-address', /no IP address/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['a=10.3.0.9'] }, '--aux-address', /in none/],
    [{ subnet: ['10.1.0.0/24'], auxAddress: ['a=10.1.0.9', 'a=10.1.0.8'] }, '--aux-address', /a stands twice/],
  ];

  it.each(refused)('refuses %j', (options, field, says) => {
    const error = thrownBy(() => parseSubnets(options));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations.map((violation) => violation.field)).toEqual([field]);
    expect(error.message).toMatch(says);
  });
});

function thrownBy(body: () => unknown): WeftError {
  try {
    body();
  } catch (error) {
    if (error instanceof WeftError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
