import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NETWORK_OPTIONS, isOptionViolations, objectionToMtu, parseNetworkOptions } from './network-options.js';

const why = (options: Record<string, string>) => {
  const read = parseNetworkOptions(options);
  return isOptionViolations(read) ? read : undefined;
};

describe('options of a network', () => {
  it('are read, and may be absent', () => {
    expect(parseNetworkOptions({})).toEqual({
      ...{ mtu: undefined, dnsSearch: [], dnsOptions: [], dnsTtlSeconds: undefined },
    });
    expect(
      parseNetworkOptions({
        ...{ mtu: '1400', 'dns-search': 'a.example,B.example,_tcp.x', 'dns-option': 'ndots:1,timeout:2,rotate' },
        'dns-ttl': '0',
      }),
    ).toEqual({
      ...{ mtu: 1400, dnsSearch: ['a.example', 'B.example', '_tcp.x'], dnsTtlSeconds: 0 },
      dnsOptions: ['ndots:1', 'timeout:2', 'rotate'],
    });
  });

  it.each([
    ['mtu', '', 'no MTU'],
    ['mtu', '575', '576 to 65535'],
    ['mtu', '65536', '576 to 65535'],
    ['mtu', '01400', 'no MTU'],
    ['mtu', '1400.5', 'no MTU'],
    ['mtu', '1e3', 'no MTU'],
    ['mtu', ' 1400', 'no MTU'],
    ['mtu', '9'.repeat(1_000), 'no MTU'],
    ['dns-search', '', 'no domain'],
    ['dns-search', 'a.example,', 'no domain'],
    ['dns-search', 'a..example', 'no domain'],
    ['dns-search', '.', 'no domain'],
    ['dns-search', '-a.example', 'no domain'],
    ['dns-search', 'a.example b.example', 'no domain'],
    ['dns-search', 'a.example\noptions debug', 'no domain'],
    ['dns-search', 'ä.example', 'no domain'],
    ['dns-search', `${'a'.repeat(64)}.example`, 'no domain'],
    ['dns-search', 'a.example,A.example', 'a.example is named twice'],
    ['dns-search', 'a,b,c,d,e,f,g', 'at most 6'],
    ['dns-search', Array.from({ length: 6 }, (_, index) => `${String(index)}${'x'.repeat(50)}`).join(','), '255'],
    ['dns-option', '', 'no resolver option ""'],
    ['dns-option', 'ndots', 'ndots:N with N from 0 to 15'],
    ['dns-option', 'ndots:16', 'from 0 to 15'],
    ['dns-option', 'ndots:1:2', 'ndots:N'],
    ['dns-option', 'ndots:-1', 'ndots:N'],
    ['dns-option', 'timeout:0', 'from 1 to 30'],
    ['dns-option', 'attempts:6', 'from 1 to 5'],
    ['dns-option', 'rotate:1', 'no resolver option'],
    ['dns-option', 'rotate\nnameserver 192.0.2.1', 'no resolver option'],
    ['dns-option', 'ndots:1,ndots:2', 'ndots is named twice'],
    ['dns-ttl', '', 'no TTL'],
    ['dns-ttl', '-1', 'no TTL'],
    ['dns-ttl', '3601', '0 to 3600'],
    ['colour', 'red', `there are ${NETWORK_OPTIONS.join(', ')}`],
    ['', '', 'no option ""'],
    ['MTU', '1400', 'no option "MTU"'],
    ['constructor', '1', 'no option "constructor"'],
  ])('refuse %s=%j', (key, value, reason) => {
    expect(why({ [key]: value })).toEqual([
      {
        field: `options[${JSON.stringify(key)}]`,
        description: expect.stringContaining(reason) as string,
        notBuilt: false,
      },
    ]);
  });

  it.each(['encrypted', 'multicast', 'parent', 'dns'])('say of %s that it is not built', (key) => {
    expect(why({ [key]: 'true' })).toEqual([
      {
        field: `options["${key}"]`,
        description: expect.stringContaining(`option ${key} is not built yet`) as string,
        notBuilt: true,
      },
    ]);
  });

  it('are refused with every fault at once', () => {
    expect(why({ mtu: 'x', encrypted: 'true', 'dns-ttl': '9' })?.map(({ field }) => field)).toEqual([
      ...['options["mtu"]', 'options["encrypted"]'],
    ]);
  });

  it.each([
    [576, false, undefined],
    [1_279, false, undefined],
    [1_279, true, '1280 to 65535 in a network with IPv6'],
    [1_280, true, undefined],
    [65_536, true, '65535'],
  ])('take an MTU of %d with IPv6 %s: %s', (mtu, hasIpv6, objection) => {
    if (objection === undefined) expect(objectionToMtu(mtu, hasIpv6)).toBeUndefined();
    else expect(objectionToMtu(mtu, hasIpv6)).toContain(objection);
  });

  it('never put anything into resolv.conf that is more than one word', () => {
    const word = /^[A-Za-z0-9._:-]+$/;
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[a-z0-9.,:\n #-]*$/));
    fc.assert(
      fc.property(fc.record({ 'dns-search': text, 'dns-option': text }, { requiredKeys: [] }), (options) => {
        const read = parseNetworkOptions(options);
        if (isOptionViolations(read)) return;
        for (const each of [...read.dnsSearch, ...read.dnsOptions]) expect(each).toMatch(word);
      }),
      { numRuns: 500 },
    );
  });
});
