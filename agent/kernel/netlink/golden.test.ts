/**
 * Every message, byte by byte, each beside the command that does the same. Checked by hand against linux/rtnetlink.h,
 * if_link.h, if_addr.h, neighbour.h and if_bridge.h; that the kernel takes them for what they say is effect.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { cidr, ip, mac } from '../testing.js';
import { addressDel, addressList, addressPut } from './address.js';
import { AttributeWriter } from './attribute.js';
import { bridgePortSet } from './bridge-port.js';
import { fdbDel, fdbList, fdbPut } from './fdb.js';
import { bridgeAdd, linkDel, linkGet, linkList, linkSet, vethAdd, vxlanAdd } from './link.js';
import { encodeRequest, type Request } from './message.js';
import { neighbourDel, neighbourList, neighbourPut } from './neighbour.js';
import { routeDel, routeList, routePut } from './route.js';

/** Type and flags, then what follows the header; its length, number and port are checked here. */
function bytesOf(request: Request): string {
  const out = new AttributeWriter(16);
  encodeRequest(out, request, 1, 0);
  const bytes = out.buffer.subarray(0, out.length);
  expect(bytes.readUInt32LE(0)).toBe(bytes.length);
  expect(bytes.subarray(8, 16).toString('hex')).toBe('0100000000000000');
  return bytes.subarray(4, 8).toString('hex') + bytes.subarray(16).toString('hex');
}

const guest = mac('02:00:00:00:00:11');

/** Of the bytes, the first line is type and flags, the second the family's header, each further one an attribute. */
const golden: readonly (readonly [command: string, request: Request, bytes: readonly string[]])[] = [
  [
    'ip link add v0 address 02:00:00:00:00:12 mtu 1430 master 3 type veth peer name eth0 address 02:00:00:00:00:11 mtu 1430 netns NS (descriptor 7)',
    vethAdd({
      name: 'v0',
      mac: mac('02:00:00:00:00:12'),
      mtu: 1430,
      master: 3,
      peer: { name: 'eth0', mac: guest, mtu: 1430, netnsFd: 7 },
    }),
    [
      '1000 0106',
      '00000000000000000000000000000000',
      '07000300 76300000',
      '0a000100 0200000000120000',
      '08000400 96050000',
      '08000a00 03000000',
      '50001280',
      '09000100 7665746800000000',
      '40000280',
      '3c000180',
      '00000000000000000000000000000000',
      '09000300 6574683000000000',
      '0a000100 0200000000110000',
      '08000400 96050000',
      '08001c00 07000000',
    ],
  ],
  [
    'ip link add wbr address 02:00:00:00:ff:01 type bridge stp_state 0 mcast_snooping 0 vlan_default_pvid 0',
    bridgeAdd({ name: 'wbr', mac: mac('02:00:00:00:ff:01') }),
    [
      '1000 0106',
      '00000000000000000000000000000000',
      '08000300 77627200',
      '0a000100 02000000ff010000',
      '2c001280',
      '0b000100 6272696467650000',
      '1c000280',
      '08000500 00000000',
      '05001700 00000000',
      '06002700 00000000',
    ],
  ],
  [
    'ip link add vx netns NS (descriptor 7) type vxlan id 77 local 192.0.2.1 dstport 4789 nolearning',
    vxlanAdd({ name: 'vx', netnsFd: 7, vni: 77, local: ip('192.0.2.1'), port: 4789 }),
    [
      '1000 0106',
      '00000000000000000000000000000000',
      '07000300 76780000',
      '08001c00 07000000',
      '34001280',
      '0a000100 76786c616e000000',
      '24000280',
      '08000100 4d000000',
      '08000400 c0000201',
      '05000700 00000000',
      '06000f00 12b50000',
    ],
  ],
  [
    'ip link add vx type vxlan id 77 local 2001:db8::1 dstport 4789 nolearning',
    vxlanAdd({ name: 'vx', vni: 77, local: ip('2001:db8::1'), port: 4789 }),
    [
      '1000 0106',
      '00000000000000000000000000000000',
      '07000300 76780000',
      '40001280',
      '0a000100 76786c616e000000',
      '30000280',
      '08000100 4d000000',
      '14001100 20010db8000000000000000000000001',
      '05000700 00000000',
      '06000f00 12b50000',
    ],
  ],
  ['ip link set dev (index 5) up', linkSet(5, { up: true }), ['1000 0100', '00000000050000000100000001000000']],
  ['ip link set dev (index 5) down', linkSet(5, { up: false }), ['1000 0100', '00000000050000000000000001000000']],
  [
    'ip link set dev (index 5) name eth1 mtu 1400 address 02:00:00:00:00:11 alias weft master (index 3) addrgenmode none',
    linkSet(5, { name: 'eth1', mtu: 1400, mac: guest, alias: 'weft', master: 3, addrGenMode: 'none' }),
    [
      '1000 0100',
      '00000000050000000000000000000000',
      '09000300 6574683100000000',
      '08000400 78050000',
      '0a000100 0200000000110000',
      '09001400 7765667400000000',
      '08000a00 03000000',
      '10001a80',
      '0c000a80',
      '05000800 01000000',
    ],
  ],
  [
    'ip link set dev (index 5) nomaster',
    linkSet(5, { master: 0 }),
    ['1000 0100', '00000000050000000000000000000000', '08000a00 00000000'],
  ],
  ['ip link del dev (index 5)', linkDel(5), ['1100 0100', '00000000050000000000000000000000']],
  ['ip link show', linkList(), ['1200 0100', '00000000000000000000000000000000']],
  [
    'ip link show dev eth0',
    linkGet('eth0'),
    ['1200 0100', '00000000000000000000000000000000', '09000300 6574683000000000'],
  ],
  [
    'bridge link set dev (index 4) learning off flood off mcast_flood off bcast_flood off neigh_suppress on locked on',
    bridgePortSet(4, {
      learning: false,
      flood: false,
      mcastFlood: false,
      bcastFlood: false,
      neighSuppress: true,
      locked: true,
    }),
    [
      '1300 0100',
      '07000000040000000000000000000000',
      '34000c80',
      '05000800 00000000',
      '05000900 00000000',
      '05001b00 00000000',
      '05001e00 00000000',
      '05002000 01000000',
      '05002700 01000000',
    ],
  ],
  [
    'ip address replace 10.9.0.11/24 dev (index 2)',
    addressPut({ index: 2, ip: ip('10.9.0.11'), prefixLength: 24 }),
    ['1400 0105', '0218000002000000', '08000200 0a09000b', '08000100 0a09000b'],
  ],
  [
    'ip address replace fd00:9::11/64 dev (index 2) nodad noprefixroute proto 99',
    addressPut({ index: 2, ip: ip('fd00:9::11'), prefixLength: 64, noprefixroute: true, protocol: 99 }),
    [
      '1400 0105',
      '0a40000002000000',
      '14000200 fd000009000000000000000000000011',
      '14000100 fd000009000000000000000000000011',
      '08000800 02020000',
      '05000b00 63000000',
    ],
  ],
  [
    'ip address del 10.9.0.11/24 dev (index 2)',
    addressDel({ index: 2, ip: ip('10.9.0.11'), prefixLength: 24 }),
    ['1500 0100', '0218000002000000', '08000200 0a09000b', '08000100 0a09000b'],
  ],
  ['ip address show dev (index 2)', addressList(2), ['1600 0100', '0000000002000000']],
  [
    'ip route replace default via 10.9.0.1 dev (index 2) proto 99',
    routePut({ dst: cidr('0.0.0.0/0'), gateway: ip('10.9.0.1'), oif: 2, protocol: 99 }),
    ['1800 0105', '02000000fe63000100000000', '08000500 0a090001', '08000400 02000000', '08000f00 fe000000'],
  ],
  [
    'ip route replace 10.78.0.0/16 dev (index 2) src 10.9.0.11 metric 5 proto 99',
    routePut({ dst: cidr('10.78.0.0/16'), oif: 2, prefsrc: ip('10.9.0.11'), metric: 5, protocol: 99 }),
    [
      '1800 0105',
      '02100000fe63fd0100000000',
      '08000100 0a4e0000',
      '08000700 0a09000b',
      '08000400 02000000',
      '08000600 05000000',
      '08000f00 fe000000',
    ],
  ],
  [
    'ip route replace 10.77.0.1/32 via 169.254.1.1 dev (index 2) onlink table 1000 proto 99',
    routePut({
      dst: cidr('10.77.0.1/32'),
      gateway: ip('169.254.1.1'),
      oif: 2,
      onlink: true,
      table: 1000,
      protocol: 99,
    }),
    [
      '1800 0105',
      '02200000fc63000104000000',
      '08000100 0a4d0001',
      '08000500 a9fe0101',
      '08000400 02000000',
      '08000f00 e8030000',
    ],
  ],
  [
    'ip -6 route replace default via fd00:9::1 dev (index 2) proto 99',
    routePut({ dst: cidr('::/0'), gateway: ip('fd00:9::1'), oif: 2, protocol: 99 }),
    [
      '1800 0105',
      '0a000000fe63000100000000',
      '14000500 fd000009000000000000000000000001',
      '08000400 02000000',
      '08000f00 fe000000',
    ],
  ],
  [
    'ip route del 10.78.0.0/16 dev (index 2) proto 99',
    routeDel({ dst: cidr('10.78.0.0/16'), oif: 2, protocol: 99 }),
    ['1900 0100', '02100000fe63ff0000000000', '08000100 0a4e0000', '08000400 02000000', '08000f00 fe000000'],
  ],
  ['ip route show table all proto 99', routeList(99), ['1a00 0100', '000000000063000000000000']],
  [
    'ip neighbour replace 10.9.0.11 lladdr 02:00:00:00:00:11 dev (index 3) nud permanent',
    neighbourPut({ index: 3, ip: ip('10.9.0.11'), mac: guest }),
    ['1c00 0105', '020000000300000080000000', '08000100 0a09000b', '0a000200 0200000000110000'],
  ],
  [
    'ip neighbour del fd00:9::11 dev (index 3)',
    neighbourDel({ index: 3, ip: ip('fd00:9::11') }),
    ['1d00 0100', '0a0000000300000000000000', '14000100 fd000009000000000000000000000011'],
  ],
  [
    'ip neighbour show dev (index 3) nud all',
    neighbourList(3),
    ['1e00 0100', '000000000000000000000000', '08000800 03000000'],
  ],
  [
    'bridge fdb replace 02:00:00:00:00:11 dev (index 4) master static',
    fdbPut({ table: 'master', index: 4, mac: guest }),
    ['1c00 0105', '070000000400000042000400', '0a000200 0200000000110000'],
  ],
  [
    'bridge fdb replace 02:00:00:00:00:11 dev (index 4) dst 192.0.2.2 self static',
    fdbPut({ table: 'self', index: 4, mac: guest, dst: ip('192.0.2.2') }),
    ['1c00 0105', '070000000400000042000200', '0a000200 0200000000110000', '08000100 c0000202'],
  ],
  [
    'bridge fdb replace 02:00:00:00:00:11 dev (index 4) dst 2001:db8::2 self static',
    fdbPut({ table: 'self', index: 4, mac: guest, dst: ip('2001:db8::2') }),
    ['1c00 0105', '070000000400000042000200', '0a000200 0200000000110000', '14000100 20010db8000000000000000000000002'],
  ],
  [
    'bridge fdb del 02:00:00:00:00:11 dev (index 4) master',
    fdbDel({ table: 'master', index: 4, mac: guest }),
    ['1d00 0100', '070000000400000042000400', '0a000200 0200000000110000'],
  ],
  ['bridge fdb show dev (index 4)', fdbList(4), ['1e00 0100', '070000000000000000000000', '08000800 04000000']],
];

describe('golden bytes', () => {
  it.each(golden)('%s', (_command, request, bytes) => {
    expect(bytesOf(request)).toBe(bytes.join('').replaceAll(' ', ''));
  });
});
