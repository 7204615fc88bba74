import { describe, expect, it } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest, SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { parseCreateEndpoint } from './validate-endpoint.js';
import { parseCreateNetwork } from './validate-network.js';

const network = (fields: Partial<CreateNetworkRequest>) =>
  parseCreateNetwork(CreateNetworkRequest.fromPartial({ name: 'web', ...fields }));
const subnet = (fields: Partial<SubnetRequest>) => network({ subnets: [SubnetRequest.fromPartial(fields)] });
const endpoint = (fields: Partial<CreateEndpointRequest>) =>
  parseCreateEndpoint(CreateEndpointRequest.fromPartial({ network: 'web', sandbox: 'a', ...fields }));

const refused = (run: () => unknown): WeftError => {
  try {
    run();
  } catch (error) {
    if (error instanceof WeftError) return error;
    throw error;
  }
  throw new Error('it was taken');
};

const many = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

describe('a request for a network', () => {
  it('is read with everything it may have', () => {
    const command = network({
      subnets: [
        SubnetRequest.fromPartial({
          ...{ cidr: '10.1.0.0/16', gateway: '10.1.255.254', ipRange: '10.1.1.0/24' },
          auxAddresses: { router: '10.1.0.9' },
        }),
        SubnetRequest.fromPartial({ cidr: '2001:DB8:0:0::/64' }),
      ],
      options: { mtu: '1280' },
      labels: { 'com.example/team': 'blue "x" = y' },
    });
    expect(command).toMatchObject({
      driver: 'overlay',
      mtu: 1280,
      subnets: [
        { cidr: '10.1.0.0/16', gateway: '10.1.255.254', ipRange: '10.1.1.0/24', auxAddresses: { router: '10.1.0.9' } },
        { cidr: '2001:db8::/64', gateway: undefined },
      ],
    });
    expect(network({ driver: 'overlay', options: { mtu: '576' } }).mtu).toBe(576);
  });

  it.each([
    ['no name', { name: '' }, 'name', 'a name has 1 to 63'],
    ['a name with a dot', { name: 'a.b' }, 'name', '"a.b"'],
    ['a name with a line break', { name: 'a\nb' }, 'name', String.raw`"a\nb"`],
    ['a name that is too long', { name: 'x'.repeat(64) }, 'name', '63'],
    ['a predefined name', { name: 'Bridge' }, 'name', 'predefined'],
    ['an id for a name', { name: '6b1f1f3e-6a5e-4a36-9a0a-0f4a8a1f2b3c' }, 'name', 'looks like an id'],
    ['an id that is none', { id: 'XYZ' }, 'id', 'UUID'],
    ['a driver nobody knows', { driver: 'ipvlan' }, 'driver', 'no driver "ipvlan"'],
    ['an option nobody knows', { options: { mut: '1500' } }, 'options["mut"]', 'no option "mut"'],
    ['an MTU that is no number', { options: { mtu: '15e2' } }, 'options["mtu"]', '576 to 65535'],
    ['an MTU that is too small', { options: { mtu: '575' } }, 'options["mtu"]', '576 to 65535'],
    ['an MTU that is too large', { options: { mtu: '65536' } }, 'options["mtu"]', '65535'],
    ['an MTU that IPv6 cannot have', { ipv6: true, options: { mtu: '1279' } }, 'options["mtu"]', '1280 to 65535'],
    ['a label without a key', { labels: { '': 'x' } }, 'labels[""]', 'a key has'],
    ['a label with a bell', { labels: { x: '\u0007' } }, 'labels["x"]', 'control'],
    ['a label of great length', { labels: { x: 'y'.repeat(1025) } }, 'labels["x"]', '1024'],
    [
      'labels of great length together',
      { labels: Object.fromEntries(many(20, (i) => [`k${String(i)}`, 'y'.repeat(1024)])) },
      'labels',
      'at most 16384',
    ],
    ['too many labels', { labels: Object.fromEntries(many(65, (i) => [`k${String(i)}`, ''])) }, 'labels', 'at most 64'],
  ])('refuses %s', (_, fields: Partial<CreateNetworkRequest>, field, why) => {
    const error = refused(() => network(fields));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations).toEqual([{ field, description: expect.stringContaining(why) as string }]);
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  it.each([
    [{ driver: 'bridge' }, 'driver'],
    [{ driver: 'macvlan' }, 'driver'],
    [{ options: { encrypted: 'true' } }, 'options["encrypted"]'],
    [{ options: { multicast: 'true' } }, 'options["multicast"]'],
    [{ options: { parent: 'eth0' } }, 'options["parent"]'],
  ])('says of %o that it is not built', (fields: Partial<CreateNetworkRequest>, field) => {
    const error = refused(() => network(fields));
    expect(error.reason).toBe('OPTION_NOT_BUILT');
    expect(error.violations.map((each) => each.field)).toEqual([field]);
    expect(error.message).toContain('not built yet');
  });

  it.each([
    ['none', { cidr: '' }, 'cidr', 'no subnet'],
    ['text', { cidr: '10.1.0.0' }, 'cidr', 'no subnet'],
    ['octets past 255', { cidr: '999.1.0.0/24' }, 'cidr', 'no subnet'],
    ['a prefix past 32', { cidr: '10.1.0.0/33' }, 'cidr', 'no subnet'],
    ['host bits', { cidr: '10.1.0.5/24' }, 'cidr', 'did you mean 10.1.0.0/24?'],
    ['IPv6 host bits', { cidr: '2001:db8::1/64' }, 'cidr', 'did you mean 2001:db8::/64?'],
    ['a /31', { cidr: '10.1.0.0/31' }, 'cidr', 'from 8 to 30'],
    ['a /7', { cidr: '10.0.0.0/7' }, 'cidr', 'from 8 to 30'],
    ['an IPv6 /127', { cidr: '2001:db8::/127' }, 'cidr', 'from 48 to 126'],
    ['an IPv6 /47', { cidr: '2001:db8::/47' }, 'cidr', 'from 48 to 126'],
    ['a gateway outside', { cidr: '10.1.0.0/24', gateway: '10.2.0.1' }, 'gateway', 'not inside 10.1.0.0/24'],
    ['a gateway of another family', { cidr: '10.1.0.0/24', gateway: 'fd00::1' }, 'gateway', 'not inside'],
    ['a gateway that is none', { cidr: '10.1.0.0/24', gateway: 'x' }, 'gateway', 'no IP address'],
    ['the network address for a gateway', { cidr: '10.1.0.0/24', gateway: '10.1.0.0' }, 'gateway', 'network address'],
    ['the broadcast address', { cidr: '10.1.0.0/24', gateway: '10.1.0.255' }, 'gateway', 'broadcast'],
    ['the anycast address', { cidr: 'fd00::/64', gateway: 'fd00::' }, 'gateway', 'router anycast'],
    ['a range outside', { cidr: '10.1.0.0/24', ipRange: '10.1.1.0/28' }, 'ip_range', 'not inside'],
    ['a range around it', { cidr: '10.1.0.0/24', ipRange: '10.1.0.0/16' }, 'ip_range', 'not inside'],
    [
      'a range with host bits',
      { cidr: '10.1.0.0/24', ipRange: '10.1.0.3/28' },
      'ip_range',
      'did you mean 10.1.0.0/28?',
    ],
    ['loopback addresses', { cidr: '127.0.0.0/24' }, 'cidr', 'loopback'],
    ['link-local addresses', { cidr: 'fe80::/64' }, 'cidr', 'link-local'],
    [
      'an auxiliary address outside',
      { cidr: '10.1.0.0/24', auxAddresses: { r: '10.2.0.1' } },
      'aux_addresses["r"]',
      'not inside',
    ],
    [
      'an auxiliary address that is the gateway',
      { cidr: '10.1.0.0/24', gateway: '10.1.0.9', auxAddresses: { r: '10.1.0.9' } },
      'aux_addresses["r"]',
      'gateway',
    ],
    [
      'no room for a gateway',
      { cidr: '10.1.0.0/30', auxAddresses: { a: '10.1.0.1', b: '10.1.0.2' } },
      'aux_addresses',
      'no address',
    ],
    [
      'an auxiliary address twice',
      { cidr: '10.1.0.0/24', auxAddresses: { a: '10.1.0.9', b: '10.1.0.9' } },
      'aux_addresses["b"]',
      'already',
    ],
  ])('refuses a subnet with %s', (_, fields, field, why) => {
    expect(refused(() => subnet(fields)).violations).toEqual([
      { field: `subnets[0].${field}`, description: expect.stringContaining(why) as string },
    ]);
  });

  it('spends no more on what is too long than on what is just too long', () => {
    const subnets = many(20_000, (index) =>
      SubnetRequest.fromPartial({ cidr: `10.${String(index >> 8)}.${String(index & 255)}.0/24` }),
    );
    const startedAt = performance.now();
    expect(refused(() => network({ subnets })).message).toBe('subnets: 20000 subnets, and at most 64 are taken');
    const aliases = many(20_000, (index) => `${String(index)}${'-'.repeat(1_000)}`);
    const error = refused(() => endpoint({ aliases }));
    expect(error.violations).toHaveLength(10);
    expect(error.message).toMatch(/; and 55 more$/);
    expect(error.message.length).toBeLessThan(6_000);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('refuses subnets that overlap, naming the later one', () => {
    const subnets = ['10.1.0.0/16', '10.2.0.0/16', '10.1.9.0/24'].map((cidr) => SubnetRequest.fromPartial({ cidr }));
    expect(refused(() => network({ subnets })).violations).toEqual([
      { field: 'subnets[2].cidr', description: '10.1.9.0/24 overlaps 10.1.0.0/16' },
    ]);
    const unread = ['10.1.0.0', '10.2.0.0/16', '10.2.9.0/24'].map((cidr) => SubnetRequest.fromPartial({ cidr }));
    const { violations } = refused(() => network({ subnets: unread }));
    expect(violations.map(({ field }) => field)).toEqual(['subnets[0].cidr', 'subnets[2].cidr']);
  });
});

describe('a request for an endpoint', () => {
  it('is read with everything it may have', () => {
    const wish = endpoint({
      ...{ host: 'h1', aliases: ['www', 'api'], addresses: ['2001:DB8::9', '10.1.0.9'], mac: '02:AB:00:00:00:09' },
      labels: { a: 'b' },
    });
    expect(wish).toMatchObject({ host: 'h1', addresses: ['2001:db8::9', '10.1.0.9'], mac: '02:ab:00:00:00:09' });
    expect(endpoint({}).host).toBeUndefined();
    expect(endpoint({}).id).not.toBe(endpoint({}).id);
  });

  it.each([
    ['no network', { network: '' }, 'network', 'missing'],
    ['a network that cannot be', { network: 'a/b' }, 'network', '"a/b"'],
    ['no sandbox', { sandbox: '' }, 'sandbox', 'a name has'],
    ['a path for a sandbox', { sandbox: '../x' }, 'sandbox', 'a name has'],
    ['a host that cannot be', { host: 'h 1' }, 'host', '"h 1"'],
    ['an alias with a dot', { aliases: ['a.b'] }, 'aliases[0]', '"a.b"'],
    ['an alias twice', { aliases: ['www', 'WWW'] }, 'aliases[1]', 'twice'],
    ['too many aliases', { aliases: many(65, (index) => `a${String(index)}`) }, 'aliases', 'at most 64'],
    ['an address that is none', { addresses: ['10.1.0.0/24'] }, 'addresses[0]', 'no IP address'],
    ['an address with a zone', { addresses: ['fe80::1%eth0'] }, 'addresses[0]', 'no IP address'],
    ['two addresses of a family', { addresses: ['10.1.0.2', '10.1.0.3'] }, 'addresses[1]', 'one IPv4'],
    ['a MAC that is none', { mac: '02:00' }, 'mac', 'no MAC'],
    ['a multicast MAC', { mac: '01:00:5e:00:00:01' }, 'mac', 'multicast'],
    ['a MAC of zeros', { mac: '00:00:00:00:00:00' }, 'mac', 'zero'],
    ['a gateway’s MAC', { mac: '02:57:46:00:00:01' }, 'mac', 'gateways'],
  ])('refuses %s', (_, fields: Partial<CreateEndpointRequest>, field, why) => {
    const error = refused(() => endpoint(fields));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations).toEqual([{ field, description: expect.stringContaining(why) as string }]);
  });

  it('says of the predefined networks that they are not built', () => {
    for (const network of ['bridge', 'host', 'none']) {
      expect(refused(() => endpoint({ network })).reason).toBe('OPTION_NOT_BUILT');
    }
  });
});
