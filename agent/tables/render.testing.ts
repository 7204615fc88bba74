/** Rows as the commands that would make them, one a line: for tests, and for whoever wants to see what a network is made of. */
import type { BridgePort } from '../kernel/netlink/bridge-port.js';
import { renderLocalResolution } from './local-resolution.js';
import type { AddressRow, FdbRow, LinkRow, NamespaceRows, NeighbourRow, RouteRow } from './rows.js';
import { WEFT_PROTOCOL } from './rows.js';

/** Pure: lines for one namespace, in the order in which its rows are put. */
export function renderRows(rows: NamespaceRows): string[] {
  return [
    ...each(rows.sysctls, (path, value) => `sysctl -w net.${path.replaceAll('/', '.')}=${JSON.stringify(value)}`),
    ...each(rows.links, renderLink),
    ...each(rows.ports, renderPort),
    ...each(rows.neighbours, (_, row) => renderNeighbour(row)),
    ...each(rows.fdb, (_, row) => renderFdb(row)),
    ...renderLocalResolution(rows.resolution),
    ...each(rows.addresses, (_, row) => renderAddress(row)),
    ...each(rows.routes, (_, row) => renderRoute(row)),
  ];
}

function each<V>(rows: ReadonlyMap<string, V>, render: (key: string, value: V) => string): string[] {
  return [...rows].map(([key, value]) => render(key, value));
}

function renderLink(name: string, row: LinkRow): string {
  switch (row.kind) {
    case 'bridge':
      return `ip link add ${name} address ${row.mac} mtu ${String(row.mtu)} addrgenmode none type bridge stp_state 0 mcast_snooping 0`;
    case 'vxlan':
      return `ip link add ${name} mtu ${String(row.mtu)} master ${row.master} addrgenmode none type vxlan id ${String(row.vni)} local ${row.local} dstport ${String(row.port)} nolearning`;
    case 'port':
      return `ip link add ${name} mtu ${String(row.mtu)} master ${row.master} addrgenmode none type veth peer name ${row.peer.name} netns ${row.peer.netns} address ${row.peer.mac}`;
    case 'peer':
      return `ip link set ${name} address ${row.mac} mtu ${String(row.mtu)} up`;
    case 'loopback':
      return `ip link set ${name} up`;
    case 'found':
      return `ip link show ${name}`;
  }
}

const FLAG_WORDS: Readonly<Record<keyof BridgePort, string>> = {
  neighSuppress: 'neigh_suppress',
  learning: 'learning',
  flood: 'flood',
  mcastFlood: 'mcast_flood',
  bcastFlood: 'bcast_flood',
  locked: 'locked',
};

function renderPort(name: string, flags: BridgePort): string {
  const words = (Object.keys(FLAG_WORDS) as (keyof BridgePort)[]).map(
    (flag) => `${FLAG_WORDS[flag]} ${flags[flag] ? 'on' : 'off'}`,
  );
  return `bridge link set dev ${name} ${words.join(' ')}`;
}

function renderNeighbour({ dev, ip, mac }: NeighbourRow): string {
  return `ip neighbour replace ${ip} lladdr ${mac} dev ${dev} nud permanent`;
}

function renderFdb(row: FdbRow): string {
  return row.table === 'self'
    ? `bridge fdb replace ${row.mac} dev ${row.dev} dst ${row.dst} self static`
    : `bridge fdb replace ${row.mac} dev ${row.dev} master static`;
}

function renderAddress({ dev, ip, prefixLength }: AddressRow): string {
  return `ip address replace ${ip}/${String(prefixLength)} dev ${dev} proto ${String(WEFT_PROTOCOL)} nodad`;
}

function renderRoute({ dst, gateway, dev }: RouteRow): string {
  return `ip route replace ${dst} via ${gateway ?? 'link'} dev ${dev} proto ${String(WEFT_PROTOCOL)}`;
}
