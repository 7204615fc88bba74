import { describe, expect, it } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { Network } from '../../proto/gen/weft/v1/network.js';
import { changeNetwork, changesAnything, checkChanges, immutable, typedFor, type ChangeOptions } from './changes.js';

const WEB = Network.fromPartial({
  name: 'web',
  labels: { tier: 'front', team: 'a' },
  options: { mtu: '1400', 'dns-ttl': '5' },
  subnets: [
    { cidr: '10.1.0.0/24', gateway: '10.1.0.254', ipRange: '10.1.0.0/25', auxAddresses: { printer: '10.1.0.200' } },
    { cidr: 'fd00:1::/64', gateway: 'fd00:1::1' },
  ],
});
const [FOUR, SIX] = WEB.subnets.map(({ cidr, gateway, ipRange, auxAddresses }) => ({
  ...{ cidr, gateway, ipRange, auxAddresses },
}));

function values(options: ChangeOptions) {
  return changeNetwork(WEB, options).values;
}

describe('changeNetwork', () => {
  it('names in the mask only what was typed', () => {
    expect(values({ label: ['x=1'] })).toMatchObject({ updateMask: ['labels'], options: {}, subnets: [] });
    expect(values({ optionRm: ['mtu'] })).toMatchObject({ updateMask: ['options'], labels: {}, subnets: [] });
    expect(values({ grow: ['10.1.0.0/16'], label: ['x'] }).updateMask).toEqual(['labels', 'subnets']);
    expect(changesAnything({})).toBe(false);
    expect(changesAnything({ label: [] })).toBe(false);
    expect(changesAnything({ gateway: ['10.1.0.1'] })).toBe(true);
  });

  it('puts labels and options over what there was, and takes others away', () => {
    const options = { label: ['tier=back', 'new'], labelRm: ['team'] };
    expect(values(options).labels).toEqual({ tier: 'back', new: '' });
    expect(values({ opt: ['mtu=1300'], optionRm: ['dns-ttl'] }).options).toEqual({ mtu: '1300' });
  });

  it('adds a subnet with what belongs to it', () => {
    const options = { addSubnet: ['10.9.0.0/24'], gateway: ['10.9.0.254'], auxAddress: ['nas=10.9.0.9'] };
    expect(values(options).subnets).toEqual([
      FOUR,
      SIX,
      { cidr: '10.9.0.0/24', gateway: '10.9.0.254', ipRange: '', auxAddresses: { nas: '10.9.0.9' } },
    ]);
  });

  it('grows and shrinks the one subnet that is meant, which keeps all else', () => {
    expect(values({ grow: ['10.1.0.0/16'] }).subnets).toEqual([{ ...FOUR, cidr: '10.1.0.0/16' }, SIX]);
    expect(values({ shrink: ['fd00:1::/80'] }).subnets).toEqual([FOUR, { ...SIX, cidr: 'fd00:1::/80' }]);
    const wider = { grow: ['10.1.0.0/16'], ipRange: ['10.1.0.0/16'], auxAddress: ['printer=10.1.7.7'] };
    expect(values(wider).subnets[0]).toEqual({
      ...{ cidr: '10.1.0.0/16', gateway: '10.1.0.254', ipRange: '10.1.0.0/16' },
      auxAddresses: { printer: '10.1.7.7' },
    });
  });

  it('keeps an address for nobody any more, or for another', () => {
    expect(values({ auxAddressRm: ['printer'] }).subnets).toEqual([{ ...FOUR, auxAddresses: {} }, SIX]);
    const moved = { auxAddressRm: ['printer'], auxAddress: ['scanner=10.1.0.200'] };
    expect(values(moved).subnets[0]?.auxAddresses).toEqual({ scanner: '10.1.0.200' });
  });

  it('removes one, and puts another in its place', () => {
    expect(values({ rmSubnet: ['10.1.0.0/24'] }).subnets).toEqual([SIX]);
    expect(values({ rmSubnet: ['10.1.0.0/24'], addSubnet: ['10.1.0.0/16'] }).subnets.map(({ cidr }) => cidr)).toEqual([
      'fd00:1::/64',
      '10.1.0.0/16',
    ]);
  });

  it('is content with what is so already', () => {
    const already = { addSubnet: ['10.1.0.0/24'], grow: ['fd00:1::/64'], shrink: ['fd00:1::/64'] };
    expect(values(already).subnets).toEqual([FOUR, SIX]);
  });

  it('knows for each subnet which option it comes from', () => {
    const options = { grow: ['10.1.0.0/16'], addSubnet: ['10.9.0.0/24'] };
    const change = changeNetwork(WEB, options);
    expect(change.typed).toEqual(['--grow', undefined, '--add-subnet']);
    const shown = (field: string, typed: ChangeOptions = options) => typedFor(field, change, typed);
    expect(shown('subnets[0].cidr')).toEqual({ field: '--grow' });
    // Nobody said --gateway: it is the prefix that the present one does not fit.
    expect(shown('subnets[0].gateway')).toEqual({ field: '--grow', instead: 'name another with --gateway' });
    expect(shown('subnets[0].gateway', { ...options, gateway: ['10.1.0.1'] })).toBeUndefined();
    expect(shown('subnets[0].aux_addresses["nas"]')).toMatchObject({
      instead: expect.stringContaining('-rm') as unknown,
    });
    expect(shown('subnets[1].gateway')).toBeUndefined();
    expect(shown('labels')).toBeUndefined();
  });

  it('leaves the network that it was given alone', () => {
    const before = structuredClone(WEB);
    changeNetwork(WEB, { grow: ['10.1.0.0/16'], auxAddress: ['x=10.1.9.9'], gateway: ['10.1.0.1'], label: ['a=b'] });
    expect(WEB).toEqual(before);
  });

  const refused: readonly (readonly [ChangeOptions, field: string, says: RegExp])[] = [
    [{ rmSubnet: ['10.2.0.0/24'] }, '--rm-subnet', /no subnet 10\.2\.0\.0\/24.*web has 10\.1\.0\.0\/24, fd00:1::\/64/],
    [{ rmSubnet: ['10.1.0.0/24', '10.1.0.0/24'] }, '--rm-subnet', /no subnet 10\.1\.0\.0\/24 to remove/],
    [{ addSubnet: ['10.1.0.0/16'] }, '--add-subnet', /overlaps 10\.1\.0\.0\/24; .*--grow/],
    [{ addSubnet: ['10.9.0.0/24', '10.9.0.0/25'] }, '--add-subnet', /overlaps 10\.9\.0\.0\/24/],
    [{ grow: ['10.2.0.0/16'] }, '--grow', /no subnet lies in 10\.2\.0\.0\/16; to add it, say --add-subnet/],
    [{ grow: ['10.1.0.0/25'] }, '--grow', /10\.1\.0\.0\/24 is larger already; say --shrink/],
    [{ shrink: ['10.1.0.0/16'] }, '--shrink', /10\.1\.0\.0\/24 is smaller already; say --grow/],
    [{ shrink: ['10.2.0.0/25'] }, '--shrink', /no subnet lies around/],
    [{ addSubnet: ['10.2.0.0/24'], grow: ['10.0.0.0/8'], rmSubnet: ['10.1.0.0/24'] }, '--grow', /no subnet lies in/],
    [{ labelRm: ['nope'] }, '--label-rm', /there is no label "nope" to remove \(network web has team, tier\)/],
    [{ optionRm: ['mtu', 'nope'] }, '--option-rm', /no option "nope" to remove \(network web has dns-ttl, mtu\)/],
    [{ auxAddressRm: ['scanner'] }, '--aux-address-rm', /no subnet keeps an address for "scanner"/],
    [{ gateway: ['10.7.0.1'] }, '--gateway', /10\.7\.0\.1 is in none of the subnets/],
    [{ grow: ['10.1.0.9/16'] }, '--grow', /the subnet is 10\.1\.0\.0\/16/],
  ];

  it.each(refused)('refuses %j', (options, field, says) => {
    const error = thrownBy(() => changeNetwork(WEB, options));
    expect(error.violations.map((violation) => violation.field)).toEqual([field]);
    expect(error.message).toMatch(says);
  });

  it('refuses to make one subnet of two', () => {
    const two = Network.fromPartial({ name: 'two', subnets: [{ cidr: '10.1.0.0/24' }, { cidr: '10.1.1.0/24' }] });
    expect(() => changeNetwork(two, { grow: ['10.1.0.0/16'] })).toThrow(
      /one subnet of 10\.1\.0\.0\/24 and 10\.1\.1\.0/,
    );
  });
});

describe('checkChanges', () => {
  it.each([
    [{ label: ['=x'] }, /--label/],
    [{ label: ['a'], labelRm: ['a'] }, /--label-rm: "a" is set by --label/],
    [{ opt: ['mtu=1400'], optionRm: ['mtu'] }, /--option-rm: "mtu" is set by -o/],
    [{ opt: ['mtu'] }, /-o: "mtu" is not KEY=VALUE/],
    [{ opt: ['mtu=12'] }, /mtu/],
    [{ addSubnet: ['10.1.0.0'] }, /--add-subnet: "10\.1\.0\.0" is no subnet/],
  ])('refuses %j before anybody is asked', (options, says) => {
    expect(() => {
      checkChanges(options);
    }).toThrow(says);
  });

  it('says why something cannot change', () => {
    expect(immutable('-d, --driver <driver>', 'because')).toMatchObject({
      reason: 'FIELD_IMMUTABLE',
      message: '--driver: cannot change in the life of a network: because; make another network',
    });
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
