import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NetlinkHandle } from './netlink/handle.js';
import { addressPut } from './netlink/address.js';
import { bridgePortSet } from './netlink/bridge-port.js';
import { bridgeAdd, linkSet, vethAdd } from './netlink/link.js';
import { fdbPut } from './netlink/fdb.js';
import { openNetns } from './namespace.js';
import { Nftables, NftablesError, type NftObject } from './nftables.js';
import { ip, mac, runIn, TestNamespaces } from './testing.js';

let namespaces: TestNamespaces;
let netns: string;
beforeEach(() => {
  namespaces = new TestNamespaces();
  netns = namespaces.make('net');
});
afterEach(() => {
  namespaces[Symbol.dispose]();
});

const refusal = (run: () => unknown): NftablesError => {
  try {
    run();
  } catch (error) {
    if (error instanceof NftablesError) return error;
    throw error;
  }
  throw new Error('it was not refused');
};

const table = { family: 'inet', name: 'weft' };
const chain = { family: 'inet', table: 'weft', name: 'post' };

describe('Nftables', () => {
  it('makes and lists what nft then lists, in its namespace alone', () => {
    const other = namespaces.make('other');
    using nftables = Nftables.open({ netns });
    nftables.run([{ add: { table } }, { add: { chain } }]);
    const [made, within] = nftables.list('inet', 'weft') ?? [];
    expect(made?.['table']).toMatchObject(table);
    expect(within?.['chain']).toMatchObject(chain);
    expect((made?.['table'] as NftObject)['handle']).toBeTypeOf('number');
    expect(runIn(netns, ['nft', 'list', 'ruleset'])).toContain('table inet weft {');
    expect(runIn(other, ['nft', 'list', 'ruleset'])).toBe('');
    expect(nftables.list('inet', 'none')).toBeUndefined();
  });

  it('does a transaction whole or not at all, and says why in nft’s words', () => {
    using nftables = Nftables.open({ netns });
    const error = refusal(() => {
      nftables.run([{ add: { table } }, { delete: { table: { family: 'ip', name: 'absent' } } }]);
    });
    expect(error.code).toBe('ENOENT');
    expect(error.nftMessage).toContain('No such file or directory');
    expect(nftables.list('inet', 'weft')).toBeUndefined();

    nftables.run([{ add: { table } }]);
    expect(
      refusal(() => {
        nftables.run([{ create: { table } }]);
      }).code,
    ).toBe('EEXIST');
  });

  it('refuses what is no command, without a kernel’s code', () => {
    using nftables = Nftables.open({ netns });
    expect(
      refusal(() => {
        nftables.runText('table nonsense {{');
      }),
    ).toMatchObject({ code: undefined });
    expect(
      refusal(() => {
        nftables.run([{ add: { nothing: {} } }]);
      }),
    ).toMatchObject({ code: undefined });
    expect(() => {
      nftables.runText('add table inet x\0');
    }).toThrow(RangeError);
  });

  it('keeps answering after a refusal, and is useless once disposed, twice', () => {
    const nftables = Nftables.open({ netns });
    refusal(() => {
      nftables.run([{ delete: { table } }]);
    });
    nftables.run([{ add: { table } }]);
    expect(nftables.list('inet', 'weft')).toHaveLength(1);
    nftables[Symbol.dispose]();
    nftables[Symbol.dispose]();
    expect(() => nftables.list('inet', 'weft')).toThrow('closed');
  });
});

/** As in the overlay driver: ARP requests and solicitations go straight to the target, since nothing is flooded. */
const LOCAL_RESOLUTION = `
table bridge weft {
  map l4 { type ipv4_addr : ether_addr; }
  map l6 { typeof @nh,384,128 : ether daddr; }
  chain pre { type filter hook prerouting priority -300; policy accept;
    arp operation request ether daddr set arp daddr ip map @l4
    icmpv6 type nd-neighbor-solicit ether daddr set @nh,384,128 map @l6
  }
}
`;

describe('local resolution, in the bridge family', () => {
  const v4element = (elem: readonly [string, string]) => ({
    family: 'bridge',
    table: 'weft',
    name: 'l4',
    elem: [elem],
  });

  it('has elements added and removed singly', () => {
    using nftables = Nftables.open({ netns });
    nftables.runText(LOCAL_RESOLUTION);
    const elements = (name: string): unknown =>
      (nftables.listSet('map', { family: 'bridge', table: 'weft', name })?.[0]?.['map'] as NftObject)['elem'];
    nftables.run([{ add: { element: v4element(['10.9.0.11', '02:00:00:00:00:11']) } }]);
    nftables.run([{ add: { element: v4element(['10.9.0.12', '02:00:00:00:00:12']) } }]);
    expect(elements('l4')).toEqual([
      ['10.9.0.11', '02:00:00:00:00:11'],
      ['10.9.0.12', '02:00:00:00:00:12'],
    ]);
    nftables.run([{ delete: { element: v4element(['10.9.0.11', '02:00:00:00:00:11']) } }]);
    expect(elements('l4')).toEqual([['10.9.0.12', '02:00:00:00:00:12']]);

    nftables.runText('add element bridge weft l6 { 0xfd000009000000000000000000000011 : 02:00:00:00:00:11 }');
    nftables.runText('add element bridge weft l6 { 0xfd000009000000000000000000000012 : 02:00:00:00:00:12 }');
    nftables.runText('delete element bridge weft l6 { 0xfd000009000000000000000000000011 : 02:00:00:00:00:11 }');
    const text = runIn(netns, ['nft', 'list', 'map', 'bridge', 'weft', 'l6']);
    expect(text).toContain('0xfd000009000000000000000000000012 : 02:00:00:00:00:12');
    expect(text).not.toContain('0xfd000009000000000000000000000011');
  });

  it('lets two sandboxes of one host reach each other though nothing is flooded, and only by the maps', () => {
    using handle = NetlinkHandle.open({ netns });
    handle.do(bridgeAdd({ name: 'wbr', mac: mac('02:00:00:00:ff:01') }));
    const bridge = handle.link('wbr')?.index ?? 0;
    handle.do(linkSet(bridge, { addrGenMode: 'none', up: true }));
    for (const n of ['1', '2']) {
      const sandbox = namespaces.make(`s${n}`);
      const guest = mac(`02:00:00:00:00:1${n}`);
      using target = openNetns(sandbox);
      handle.do(vethAdd({ name: `s${n}`, master: bridge, peer: { name: 'eth0', mac: guest, netnsFd: target.fd } }));
      const port = handle.link(`s${n}`)?.index ?? 0;
      const silent = { learning: false, flood: false, mcastFlood: false, bcastFlood: false, locked: true };
      const results = handle.request([
        bridgePortSet(port, silent),
        fdbPut({ table: 'master', index: port, mac: guest }),
        linkSet(port, { addrGenMode: 'none', up: true }),
      ]);
      expect(results).toEqual([undefined, undefined, undefined]);
      using inside = NetlinkHandle.open({ netns: sandbox });
      const index = inside.link('eth0')?.index ?? 0;
      inside.request([
        linkSet(index, { up: true }),
        addressPut({ index, ip: ip(`10.9.0.1${n}`), prefixLength: 24 }),
        addressPut({ index, ip: ip(`fd00:9::1${n}`), prefixLength: 64 }),
      ]);
    }
    const pings = (target: string): boolean => {
      try {
        runIn(`${namespaces.directory}/s1`, ['ping', '-c1', '-w3', '-q', target]);
        return true;
      } catch {
        return false;
      }
    };
    using nftables = Nftables.open({ netns });
    nftables.runText(LOCAL_RESOLUTION);
    expect(pings('10.9.0.12')).toBe(false);
    for (const n of ['1', '2']) {
      nftables.run([{ add: { element: v4element([`10.9.0.1${n}`, `02:00:00:00:00:1${n}`]) } }]);
      nftables.runText(`add element bridge weft l6 { 0xfd00000900000000000000000000001${n} : 02:00:00:00:00:1${n} }`);
    }
    expect(pings('10.9.0.12')).toBe(true);
    expect(pings('fd00:9::12')).toBe(true);
  });
});
