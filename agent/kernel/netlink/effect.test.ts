/** What our messages do to a real kernel, by what `ip` and `bridge` then say; and what we read of what they did. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openNetns } from '../namespace.js';
import { cidr, ip, listIn, mac, runIn, TestNamespaces } from '../testing.js';
import { addressDel, addressPut } from './address.js';
import { bridgePortSet } from './bridge-port.js';
import { fdbDel, fdbPut } from './fdb.js';
import { NetlinkHandle } from './handle.js';
import { bridgeAdd, linkDel, linkSet, vethAdd, vxlanAdd } from './link.js';
import { neighbourDel, neighbourPut } from './neighbour.js';
import { routeDel, routePut, type Route } from './route.js';

const PROTOCOL = 99;

let namespaces: TestNamespaces;
let host: string;
let netns: string;
let atHost: NetlinkHandle;
let handle: NetlinkHandle;
beforeEach(() => {
  namespaces = new TestNamespaces();
  host = namespaces.make('host');
  netns = namespaces.make('net');
  atHost = NetlinkHandle.open({ netns: host });
  handle = NetlinkHandle.open({ netns });
});
afterEach(() => {
  atHost[Symbol.dispose]();
  handle[Symbol.dispose]();
  namespaces[Symbol.dispose]();
});

/** The index of a link that is there. */
function indexOf(name: string, at = handle): number {
  const link = at.link(name);
  if (link === undefined) throw new Error(`no link ${name}`);
  return link.index;
}

/** A bridge with a VXLAN device in `netns`, the tunnel's socket in `host`. */
function overlay(local = ip('192.0.2.1')): { bridge: number; vxlan: number } {
  handle.do(bridgeAdd({ name: 'wbr', mac: mac('02:00:00:00:ff:01') }));
  const bridge = indexOf('wbr');
  using target = openNetns(netns);
  atHost.do(vxlanAdd({ name: 'vx', vni: 77, local, port: 4789, netnsFd: target.fd, master: bridge }));
  return { bridge, vxlan: indexOf('vx') };
}

const detail = (at: string, name: string) => listIn(at, ['ip', '-j', '-d', 'link', 'show', 'dev', name])[0];

describe('links', () => {
  it('a veth pair is made in place, each end with its name, MAC and MTU', () => {
    using target = openNetns(netns);
    atHost.do(
      vethAdd({
        name: 'v0',
        mtu: 1430,
        peer: { name: 'eth0', mac: mac('02:00:00:00:00:11'), mtu: 1400, netnsFd: target.fd },
      }),
    );
    expect(detail(netns, 'eth0')).toMatchObject({
      ifname: 'eth0',
      address: '02:00:00:00:00:11',
      mtu: 1400,
      linkinfo: { info_kind: 'veth' },
    });
    expect(detail(host, 'v0')).toMatchObject({ mtu: 1430, linkinfo: { info_kind: 'veth' } });
    const [near, far] = [atHost.link('v0'), handle.link('eth0')];
    expect(far).toMatchObject({
      kind: 'veth',
      mac: '02:00:00:00:00:11',
      mtu: 1400,
      up: false,
      peerIndex: near?.index,
      peerElsewhere: true,
    });
    handle.do(linkDel(indexOf('eth0')));
    expect(atHost.link('v0')).toBeUndefined();
  });

  it.each(['192.0.2.1', '2001:db8::1'])('a VXLAN device is made into another namespace, from %s', (local) => {
    const { bridge, vxlan } = overlay(ip(local));
    expect(detail(netns, 'vx')).toMatchObject({
      master: 'wbr',
      linkinfo: {
        info_kind: 'vxlan',
        info_data: { id: 77, [local.includes(':') ? 'local6' : 'local']: local, port: 4789, learning: false },
      },
    });
    expect(handle.link('vx')).toMatchObject({
      index: vxlan,
      kind: 'vxlan',
      master: bridge,
      vxlan: { vni: 77, local, port: 4789, learning: false },
    });
    // The socket stays where the request was sent.
    handle.do(linkSet(vxlan, { up: true }));
    expect(runIn(host, ['cat', local.includes(':') ? '/proc/net/udp6' : '/proc/net/udp'])).toContain(':12B5 ');
    expect(runIn(netns, ['cat', '/proc/net/udp', '/proc/net/udp6'])).not.toContain(':12B5 ');
  });

  it('a bridge has its MAC, no spanning tree and no snooping', () => {
    const { bridge } = overlay();
    handle.do(linkSet(bridge, { mtu: 1430, up: true }));
    expect(detail(netns, 'wbr')).toMatchObject({
      address: '02:00:00:00:ff:01',
      mtu: 1430,
      linkinfo: { info_kind: 'bridge', info_data: { stp_state: 0, mcast_snooping: 0 } },
    });
    expect(handle.link('wbr')).toMatchObject({
      mac: '02:00:00:00:ff:01',
      mtu: 1430,
      up: true,
      bridge: { mcastSnooping: false, stp: false },
    });
    runIn(netns, ['ip', 'link', 'set', 'wbr', 'type', 'bridge', 'mcast_snooping', '1', 'stp_state', '1']);
    expect(handle.link('wbr')?.bridge).toEqual({ mcastSnooping: true, stp: true });
  });

  it('everything of a link can be changed, and is read back', () => {
    const { bridge, vxlan } = overlay();
    handle.do(
      linkSet(vxlan, {
        name: 'vxlan0',
        mtu: 1400,
        mac: mac('02:00:00:00:00:99'),
        alias: 'weft network näme',
        addrGenMode: 'none',
        up: true,
      }),
    );
    expect(detail(netns, 'vxlan0')).toMatchObject({
      mtu: 1400,
      address: '02:00:00:00:00:99',
      ifalias: 'weft network näme',
      inet6_addr_gen_mode: 'none',
      flags: expect.arrayContaining(['UP']) as unknown,
    });
    expect(handle.link('vxlan0')).toMatchObject({
      mtu: 1400,
      mac: '02:00:00:00:00:99',
      alias: 'weft network näme',
      addrGenMode: 'none',
      up: true,
      master: bridge,
    });
    handle.do(linkSet(vxlan, { master: 0, up: false, addrGenMode: 'eui64' }));
    expect(detail(netns, 'vxlan0')).not.toHaveProperty('master');
    expect(handle.link('vxlan0')).toMatchObject({
      up: false,
      master: undefined,
      addrGenMode: 'eui64',
      port: undefined,
    });
  });

  it('each of a port’s flags is set alone, both ways', () => {
    const { vxlan } = overlay();
    const names = {
      learning: 'learning',
      flood: 'flood',
      mcastFlood: 'mcast_flood',
      bcastFlood: 'bcast_flood',
      neighSuppress: 'neigh_suppress',
      locked: 'locked',
    } as const;
    const shown = () => listIn(netns, ['bridge', '-j', '-d', 'link', 'show', 'dev', 'vx'])[0];
    for (const [ours, theirs] of Object.entries(names) as [keyof typeof names, string][]) {
      for (const value of [true, false]) {
        const before = { ...handle.link('vx')?.port };
        handle.do(bridgePortSet(vxlan, { [ours]: value }));
        expect(handle.link('vx')?.port).toEqual({ ...before, [ours]: value });
        expect(shown()).toHaveProperty(theirs, value);
      }
    }
    expect(() => {
      handle.do(bridgePortSet(1, { learning: false })); // lo is no port
    }).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  });
});

describe('addresses', () => {
  it('are put twice over, without duplicate detection, and taken off', () => {
    const { bridge } = overlay();
    const v4 = { index: bridge, ip: ip('10.9.0.1'), prefixLength: 24, protocol: PROTOCOL };
    const v6 = { index: bridge, ip: ip('fd00:9::1'), prefixLength: 64, noprefixroute: true };
    handle.do(linkSet(bridge, { addrGenMode: 'none', up: true }));
    expect(handle.request([addressPut(v4), addressPut(v6), addressPut(v4), addressPut(v6)])).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const shown = listIn(netns, ['ip', '-j', 'address', 'show', 'dev', 'wbr'])[0]?.['addr_info'];
    expect(shown).toMatchObject([
      { family: 'inet', local: '10.9.0.1', prefixlen: 24 },
      { family: 'inet6', local: 'fd00:9::1', prefixlen: 64, nodad: true, noprefixroute: true },
    ]);
    expect(handle.addresses(bridge)).toEqual([
      { ...v4, nodad: false, noprefixroute: false, permanent: true },
      { ...v6, nodad: true, noprefixroute: true, permanent: true, protocol: 0 },
    ]);
    expect(handle.request([addressDel(v4), addressDel(v6), addressDel(v4)]).map((result) => result?.code)).toEqual([
      undefined,
      undefined,
      'EADDRNOTAVAIL',
    ]);
    expect(handle.addresses(bridge)).toEqual([]);
    expect(() => addressPut({ ...v4, prefixLength: 33 })).toThrow(RangeError);
  });

  it('of a point-to-point link are its own, not the other end’s', () => {
    runIn(netns, ['ip', 'address', 'add', '192.0.2.9', 'peer', '192.0.2.10', 'dev', 'lo']);
    expect(handle.addresses(1)).toMatchObject([{ ip: '192.0.2.9', prefixLength: 32 }]);
  });
});

describe('routes', () => {
  const byDst = (route: { dst: string }) => route.dst;

  it('of every form are put, listed by their protocol, and deleted', () => {
    handle.do(vethAdd({ name: 'v0', peer: { name: 'v1' } }));
    const [v0, v1] = [indexOf('v0'), indexOf('v1')];
    handle.request([linkSet(v1, { up: true }), linkSet(v0, { up: true })]);
    handle.request([
      addressPut({ index: v0, ip: ip('10.9.0.1'), prefixLength: 24 }),
      addressPut({ index: v0, ip: ip('fd00:9::1'), prefixLength: 64 }),
    ]);
    const routes: readonly Route[] = [
      { dst: cidr('0.0.0.0/0'), oif: v0, gateway: ip('10.9.0.2'), protocol: PROTOCOL },
      { dst: cidr('10.77.0.1/32'), oif: v0, gateway: ip('169.254.1.1'), onlink: true, table: 1000, protocol: PROTOCOL },
      { dst: cidr('10.78.0.0/16'), oif: v0, prefsrc: ip('10.9.0.1'), metric: 5, protocol: PROTOCOL },
      { dst: cidr('::/0'), oif: v0, gateway: ip('fd00:9::2'), protocol: PROTOCOL },
      { dst: cidr('fd00:77::1/128'), oif: v0, gateway: ip('fe80::1'), onlink: true, metric: 7, protocol: PROTOCOL },
    ];
    // Twice: putting replaces.
    expect(handle.request([...routes, ...routes].map(routePut)).filter((result) => result !== undefined)).toEqual([]);

    const listed = handle.routes(PROTOCOL);
    expect(listed.map(byDst).sort()).toEqual(routes.map(byDst).sort());
    for (const route of routes) {
      const metric = route.metric ?? (route.dst.includes(':') ? 1024 : 0);
      expect(listed).toContainEqual(
        expect.objectContaining({ onlink: false, table: 254, prefsrc: undefined, type: 1, ...route, metric }),
      );
    }
    const v4 = listIn(netns, ['ip', '-j', '-4', 'route', 'show', 'table', 'all', 'proto', String(PROTOCOL)]);
    expect(v4).toHaveLength(3);
    expect(v4).toContainEqual(
      expect.objectContaining({
        dst: '10.77.0.1',
        gateway: '169.254.1.1',
        dev: 'v0',
        table: '1000',
        flags: ['onlink'],
      }),
    );
    expect(v4).toContainEqual(expect.objectContaining({ dst: 'default', gateway: '10.9.0.2' }));
    expect(v4).toContainEqual(
      expect.objectContaining({ dst: '10.78.0.0/16', prefsrc: '10.9.0.1', metric: 5, scope: 'link' }),
    );
    const v6 = listIn(netns, ['ip', '-j', '-6', 'route', 'show', 'proto', String(PROTOCOL)]);
    expect(v6).toContainEqual(expect.objectContaining({ dst: 'default', gateway: 'fd00:9::2', dev: 'v0' }));
    // The kernel's own are in the whole list.
    expect(handle.routes().some((route) => route.protocol === 2)).toBe(true);

    expect(handle.request(routes.map(routeDel)).filter((result) => result !== undefined)).toEqual([]);
    expect(handle.routes(PROTOCOL)).toEqual([]);
    expect(handle.request(routes.slice(0, 1).map(routeDel))[0]?.code).toBe('ESRCH');
  });

  it('that cannot be say why', () => {
    const [result] = handle.request([
      routePut({ dst: cidr('10.5.0.0/16'), oif: 1, gateway: ip('10.77.0.1'), protocol: PROTOCOL }),
    ]);
    expect(result?.code).toBe('ENETUNREACH');
    expect(result?.kernelMessage).toBe('Nexthop has invalid gateway');
  });
});

describe('neighbours', () => {
  it('are permanent, replaced, and deleted', () => {
    const { bridge } = overlay();
    handle.do(linkSet(bridge, { up: true }));
    const [old, guest] = [mac('02:00:00:00:00:01'), mac('02:00:00:00:00:11')];
    const addresses = [ip('10.9.0.11'), ip('fd00:9::11')];
    const results = handle.request(
      [old, guest].flatMap((lladdr) =>
        addresses.map((address) => neighbourPut({ index: bridge, ip: address, mac: lladdr })),
      ),
    );
    expect(results.filter((result) => result !== undefined)).toEqual([]);
    expect(handle.neighbours(bridge)).toEqual(
      addresses.map((address) => ({ index: bridge, ip: address, mac: guest, permanent: true })),
    );
    const shown = listIn(netns, ['ip', '-j', 'neigh', 'show', 'nud', 'permanent']);
    expect(shown).toEqual(
      expect.arrayContaining(
        addresses.map((dst) => ({ dst, dev: 'wbr', lladdr: '02:00:00:00:00:11', state: ['PERMANENT'] })),
      ),
    );
    runIn(netns, ['ip', 'neigh', 'add', '10.9.0.12', 'lladdr', '02:00:00:00:00:12', 'dev', 'wbr', 'nud', 'stale']);
    expect(handle.neighbours(bridge)).toContainEqual({
      index: bridge,
      ip: '10.9.0.12',
      mac: '02:00:00:00:00:12',
      permanent: false,
    });
    expect(handle.request(addresses.map((address) => neighbourDel({ index: bridge, ip: address })))).toEqual([
      undefined,
      undefined,
    ]);
    expect(handle.neighbours(bridge).filter((neighbour) => neighbour.permanent)).toEqual([]);
  });
});

describe('forwarding entries', () => {
  it.each([
    ['192.0.2.1', '192.0.2.2', '192.0.2.3'],
    ['2001:db8::1', '2001:db8::2', '2001:db8::3'],
  ])('of both kinds are those `bridge fdb` makes, from %s', (local, first, second) => {
    const { bridge, vxlan } = overlay(ip(local));
    const [ours, theirs] = [mac('02:00:00:00:00:11'), mac('02:00:00:00:00:12')];
    const results = handle.request([
      fdbPut({ table: 'master', index: vxlan, mac: ours }),
      fdbPut({ table: 'self', index: vxlan, mac: ours, dst: ip(first) }),
      fdbPut({ table: 'self', index: vxlan, mac: ours, dst: ip(second) }), // replaces
    ]);
    expect(results).toEqual([undefined, undefined, undefined]);
    runIn(netns, ['bridge', 'fdb', 'replace', theirs, 'dev', 'vx', 'master', 'static']);
    runIn(netns, ['bridge', 'fdb', 'replace', theirs, 'dev', 'vx', 'dst', second, 'self', 'static']);

    const listed = handle.fdb(vxlan);
    for (const address of [ours, theirs]) {
      expect(listed.filter((entry) => entry.mac === address)).toEqual([
        {
          table: 'master',
          index: vxlan,
          mac: address,
          dst: undefined,
          state: 'static',
          master: bridge,
          externallyLearned: false,
        },
        {
          table: 'self',
          index: vxlan,
          mac: address,
          dst: second,
          state: 'static',
          master: undefined,
          externallyLearned: false,
        },
      ]);
    }
    const shown = listIn(netns, ['bridge', '-j', 'fdb', 'show', 'dev', 'vx']);
    const of = (address: string) =>
      shown.filter((entry) => entry['mac'] === address).map((entry) => ({ ...entry, mac: 'same' }));
    expect(of(ours)).toEqual(of(theirs));
    expect(of(ours)).toHaveLength(2);
    // The device's own MAC is local: not ours to sweep.
    expect(listed).toContainEqual(expect.objectContaining({ mac: handle.link('vx')?.mac, state: 'local' }));

    const deletions = handle.request([
      fdbDel({ table: 'master', index: vxlan, mac: ours }),
      fdbDel({ table: 'self', index: vxlan, mac: ours, dst: ip(second) }),
      fdbDel({ table: 'self', index: vxlan, mac: ours, dst: ip(second) }),
    ]);
    expect(deletions.map((result) => result?.code)).toEqual([undefined, undefined, 'ENOENT']);
    expect(handle.fdb(vxlan).some((entry) => entry.mac === ours)).toBe(false);
  });

  it('are listed for all devices, and refused for a tunnel address of the other family', () => {
    const { vxlan } = overlay();
    const results = handle.request([
      fdbPut({ table: 'self', index: vxlan, mac: mac('02:00:00:00:00:11'), dst: ip('2001:db8::2') }),
    ]);
    expect(results[0]?.code).toBe('EAFNOSUPPORT');
    expect(new Set(handle.fdb().map((entry) => entry.index)).size).toBeGreaterThan(1);
  });
});
