import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { overlaps } from '../../core/address.js';
import { WeftError } from '../../core/errors.js';
import { CreateNetworkRequest, SubnetRequest, UpdateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { objectionTo } from '../domain/address-pool.js';
import { toSubnet } from '../domain/network.js';
import { parseCreateNetwork, parseUpdateNetwork } from './validate-network.js';

const update = (fields: Partial<UpdateNetworkRequest>) =>
  parseUpdateNetwork(UpdateNetworkRequest.fromPartial({ network: 'web', ...fields }));
const subnet = (fields: Partial<SubnetRequest>): SubnetRequest => SubnetRequest.fromPartial(fields);

const refused = (run: () => unknown): WeftError => {
  try {
    run();
  } catch (error) {
    if (error instanceof WeftError) return error;
    throw error;
  }
  throw new Error('it was taken');
};

describe('a request to change a network', () => {
  it('is read for what its mask names, and nothing else', () => {
    const fields = { labels: { a: '1' }, options: { mtu: '1400' }, subnets: [subnet({ cidr: '10.1.0.0/24' })] };
    expect(update({ ...fields, updateMask: ['labels'] })).toEqual({
      ...{ reference: 'web', labels: { a: '1' }, options: undefined, subnets: undefined, ifRevision: undefined },
    });
    expect(update({ ...fields, updateMask: ['options', 'subnets', 'options'], ifRevision: 7n })).toEqual({
      ...{ reference: 'web', labels: undefined, options: { given: { mtu: '1400' }, mtu: 1400 }, ifRevision: 7n },
      subnets: [{ cidr: '10.1.0.0/24', gateway: undefined, ipRange: undefined, auxAddresses: {} }],
    });
    // What is wrong with what stays is nobody's business.
    expect(update({ options: { colour: 'red' }, updateMask: ['labels'] }).labels).toEqual({});
  });

  it.each<[string, Partial<UpdateNetworkRequest>, string, string]>([
    ['no network', { network: '', updateMask: ['labels'] }, 'network', 'missing'],
    ['a network that cannot be', { network: 'a.b', updateMask: ['labels'] }, 'network', '"a.b"'],
    ['no mask', {}, 'update_mask', 'names nothing; it takes labels, options, subnets'],
    ['an unknown path', { updateMask: ['colour'] }, 'update_mask.paths[0]', 'there are labels, options, subnets'],
    ['everything', { updateMask: ['*'] }, 'update_mask.paths[0]', 'there are labels'],
    ['a path into a map', { updateMask: ['labels.a'] }, 'update_mask.paths[0]', 'there are labels'],
    ['a path with a bell', { updateMask: ['\u0007'] }, 'update_mask.paths[0]', String.raw`"\u0007"`],
    ['a path of JavaScript’s', { updateMask: ['constructor'] }, 'update_mask.paths[0]', 'there are labels'],
    ['too many paths', { updateMask: Array.from({ length: 65 }, () => 'labels') }, 'update_mask.paths', 'at most 64'],
    ['no subnets', { updateMask: ['subnets'] }, 'subnets', 'at least one subnet'],
    [
      'a subnet without an address',
      { updateMask: ['subnets'], subnets: [subnet({ cidr: '' })] },
      'subnets[0].cidr',
      'no subnet',
    ],
    ['a label without a key', { updateMask: ['labels'], labels: { '': '' } }, 'labels[""]', 'a key has'],
    ['an option nobody knows', { updateMask: ['options'], options: { x: '' } }, 'options["x"]', 'no option "x"'],
    ['a revision that is none', { updateMask: ['labels'], ifRevision: -1n }, 'if_revision', 'no revision'],
  ])('is refused with %s', (_, fields, field, why) => {
    const error = refused(() => update(fields));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations).toEqual([{ field, description: expect.stringContaining(why) as string }]);
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  it.each([
    ['name', 'make another network'],
    ['driver', 'make another network'],
    ['internal', 'make another network'],
    ['vni', 'hosts would not hear one another'],
    ['id', 'known by'],
    ['mtu', 'give mtu=BYTES'],
    ['revision', 'controllers write it'],
    ['usage', 'controllers write it'],
  ])('says why %s cannot change', (path, why) => {
    const error = refused(() => update({ updateMask: ['labels', path] }));
    expect(error.reason).toBe('FIELD_IMMUTABLE');
    expect(error.violations).toEqual([
      { field: 'update_mask.paths[1]', description: expect.stringContaining(`${path} cannot change: `) as string },
    ]);
    expect(error.message).toContain(why);
  });

  it('says of options that are not built that they are not', () => {
    const error = refused(() => update({ updateMask: ['options'], options: { dns: '192.0.2.53', encrypted: 'true' } }));
    expect(error.reason).toBe('OPTION_NOT_BUILT');
    expect(error.violations.map(({ field }) => field)).toEqual(['options["dns"]', 'options["encrypted"]']);
  });
});

describe('subnets of a request', () => {
  const create = (subnets: SubnetRequest[]) =>
    parseCreateNetwork(CreateNetworkRequest.fromPartial({ name: 'web', subnets }));

  it.each<[string, Partial<SubnetRequest>, string]>([
    ['a /0', { cidr: '0.0.0.0/0' }, 'from 8 to 30'],
    ['a /0 of IPv6', { cidr: '::/0' }, 'from 48 to 126'],
    ['a /32', { cidr: '10.1.0.1/32' }, 'from 8 to 30'],
    ['a /31', { cidr: '10.1.0.0/31' }, 'from 8 to 30'],
    ['a /128', { cidr: 'fd01::1/128' }, 'from 48 to 126'],
    ['a /33', { cidr: '10.1.0.0/33' }, 'no subnet'],
    ['host bits', { cidr: '10.1.0.1/24' }, 'did you mean 10.1.0.0/24'],
    ['host bits of IPv6', { cidr: 'fd01::1/64' }, 'did you mean fd01::/64'],
    ['no prefix', { cidr: '10.1.0.0' }, 'no subnet'],
    ['a mask', { cidr: '10.1.0.0/255.255.255.0' }, 'no subnet'],
    ['leading zeros', { cidr: '10.01.0.0/24' }, 'no subnet'],
    ['a sign', { cidr: '10.1.0.0/+24' }, 'no subnet'],
    ['a space', { cidr: ' 10.1.0.0/24' }, 'no subnet'],
    ['IPv4 in IPv6', { cidr: '::ffff:10.1.0.0/120' }, 'no subnet'],
    ['a zone', { cidr: 'fe80::%eth0/64' }, 'no subnet'],
    ['control characters', { cidr: '10.1.0.0/24\n' }, 'no subnet'],
    ['link-local addresses', { cidr: '169.254.1.0/24' }, 'link-local'],
    ['link-local addresses of IPv6', { cidr: 'fe80::/64' }, 'link-local'],
    ['loopback addresses', { cidr: '127.1.0.0/16' }, 'loopback'],
    ['multicast addresses', { cidr: '239.0.0.0/24' }, 'multicast'],
    ['a gateway of the other family', { cidr: '10.1.0.0/24', gateway: 'fd01::1' }, 'not inside'],
    ['a range of the other family', { cidr: 'fd01::/64', ipRange: '10.1.0.0/25' }, 'not inside'],
    ['a range that is larger', { cidr: '10.1.0.0/24', ipRange: '10.1.0.0/23' }, 'not inside'],
    ['an auxiliary address of the other family', { cidr: '10.1.0.0/24', auxAddresses: { a: 'fd01::1' } }, 'not inside'],
    ['an auxiliary address under no name', { cidr: '10.1.0.0/24', auxAddresses: { 'a.b': '10.1.0.9' } }, '"a.b"'],
    ['the broadcast address for a gateway', { cidr: '10.1.0.0/24', gateway: '10.1.0.255' }, 'broadcast'],
    ['the network address for a gateway', { cidr: 'fd01::/64', gateway: 'fd01::' }, 'anycast'],
  ])('are refused with %s', (_, fields, why) => {
    const error = refused(() => create([subnet({ cidr: '10.9.0.0/24' }), subnet(fields)]));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations).toHaveLength(1);
    expect(error.violations[0]?.field).toMatch(/^subnets\[1\]\./);
    expect(error.violations[0]?.description).toContain(why);
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  it('whatever they are, come out sound or are refused', () => {
    const ip = fc.oneof(
      fc.constantFrom('', '10.1.0.0', '10.1.0.1', '10.1.0.255', '10.1.1.7', 'fd01::', 'fd01::1', 'fd01::ff', 'x', '::'),
      fc.ipV4(),
      fc.ipV6(),
    );
    const cidr = fc.tuple(ip, fc.integer({ min: 0, max: 129 })).map(([at, prefix]) => `${at}/${String(prefix)}`);
    const often = <T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
      fc.oneof({ weight: 8, arbitrary: usual }, { weight: 1, arbitrary: other });
    const request = fc.record({
      cidr: often(fc.constantFrom('10.1.0.0/24', '10.1.0.0/30', 'fd01::/120', '10.1.0.0/16', '10.2.0.0/24'), cidr),
      gateway: often(fc.constantFrom('', '10.1.0.1', '10.1.0.2', 'fd01::ff'), ip),
      ipRange: often(fc.constantFrom('', '10.1.0.0/25', 'fd01::/121'), cidr),
      auxAddresses: fc.dictionary(fc.constantFrom('a', 'b', 'c'), often(fc.constantFrom('10.1.0.1', 'fd01::1'), ip), {
        maxKeys: 2,
      }),
    });
    let taken = 0;
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), (requests) => {
        try {
          const { subnets } = create(requests);
          taken += 1;
          for (const [index, wish] of subnets.entries()) {
            const made = toSubnet(wish);
            // A gateway is an address that an endpoint could have, but for being the gateway.
            expect(
              objectionTo({ ...made, gateway: made.cidr as never, auxAddresses: {} }, made.gateway),
            ).toBeUndefined();
            expect(Object.values(made.auxAddresses)).not.toContain(made.gateway);
            expect(subnets.slice(0, index).filter((other) => overlaps(other.cidr, wish.cidr))).toEqual([]);
          }
        } catch (error) {
          if (!(error instanceof WeftError)) throw error;
          expect(error.violations.length).toBeGreaterThan(0);
          for (const { field } of error.violations)
            expect(field).toMatch(/^subnets\[\d\]\.(cidr|gateway|ip_range|aux_)/);
        }
      }),
      { numRuns: 1_000 },
    );
    expect(taken).toBeGreaterThan(20);
  });
});
