/**
 * What a namespace of Weft's should hold, as plain rows: one map for each kind of kernel object, by a key that names the
 * object. Drivers make rows, tables compare them with the kernel's and put what differs.
 */
import type { Cidr, IpAddress } from '../../core/address.js';
import type { Mac } from '../../core/mac.js';
import type { BridgePort } from '../kernel/netlink/bridge-port.js';

/** Weft's number in the `protocol` of routes and addresses (`ip route show proto 87`): how a sweep knows its own. */
export const WEFT_PROTOCOL = 87;

/** A network's bridge. */
export interface BridgeRow {
  readonly kind: 'bridge';
  readonly mac: Mac;
  readonly mtu: number;
}

/** A network's VXLAN device; its socket is in the host's namespace. */
export interface VxlanRow {
  readonly kind: 'vxlan';
  readonly vni: number;
  readonly local: IpAddress;
  readonly port: number;
  readonly master: string;
  readonly mtu: number;
}

/** The bridge's end of a sandbox's veth pair. Putting it makes both ends. */
export interface PortRow {
  readonly kind: 'port';
  readonly master: string;
  readonly mtu: number;
  readonly peer: { readonly netns: string; readonly name: string; readonly mac: Mac };
}

/** The sandbox's end of a veth pair. Made and deleted with its port, so only its settings are put here. */
export interface PeerRow {
  readonly kind: 'peer';
  readonly mac: Mac;
  readonly mtu: number;
}

/** `lo`, which every namespace has: to be up. */
export interface LoopbackRow {
  readonly kind: 'loopback';
}

/** A link in Weft's place that is not as any row says: to be put right or, by its name, to be dropped. Never wanted. */
export interface FoundRow {
  readonly kind: 'found';
}

export type LinkRow = BridgeRow | VxlanRow | PortRow | PeerRow | LoopbackRow | FoundRow;

/** An address on a link. */
export interface AddressRow {
  readonly dev: string;
  readonly ip: IpAddress;
  readonly prefixLength: number;
}

/** A permanent neighbour. */
export interface NeighbourRow {
  readonly dev: string;
  readonly ip: IpAddress;
  readonly mac: Mac;
}

/** A static forwarding entry: of the bridge (the MAC is behind port `dev`), or of the VXLAN device (it is at `dst`). */
export type FdbRow =
  | { readonly table: 'master'; readonly dev: string; readonly mac: Mac }
  | { readonly table: 'self'; readonly dev: string; readonly mac: Mac; readonly dst: IpAddress };

/** A route of the main table. */
export interface RouteRow {
  readonly dst: Cidr;
  /** Undefined: on the link itself. Never wanted so, as addresses bring such routes. */
  readonly gateway: IpAddress | undefined;
  readonly dev: string;
}

/** Everything one namespace should hold, by kind; the keys are those of `keyOf`. */
export interface NamespaceRows {
  /** Value by path below /proc/sys/net: `ipv4/ip_forward`. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** By name. */
  readonly links: ReadonlyMap<string, LinkRow>;
  /** Flags of bridge ports, by link. */
  readonly ports: ReadonlyMap<string, BridgePort>;
  readonly addresses: ReadonlyMap<string, AddressRow>;
  readonly neighbours: ReadonlyMap<string, NeighbourRow>;
  readonly fdb: ReadonlyMap<string, FdbRow>;
  /** Sandboxes at this bridge: who asks for the address is sent to the MAC, without flooding. */
  readonly resolution: ReadonlyMap<string, Mac>;
  readonly routes: ReadonlyMap<string, RouteRow>;
}

/** A kind of kernel object. */
export type TableName = keyof NamespaceRows;

/** What a row of that kind is. */
export type RowOf<K extends TableName> = NamespaceRows[K] extends ReadonlyMap<string, infer V> ? V : never;

/** The order in which rows are put: each kind needs only kinds before it. They are dropped the other way round. */
export const TABLE_ORDER = [
  'sysctls',
  'links',
  'ports',
  'neighbours',
  'fdb',
  'resolution',
  'addresses',
  'routes',
] as const satisfies readonly TableName[];

/**
 * How each kind of row is keyed. A MAC lies one way, a destination has one route and an address one length, so replacing
 * moves them.
 */
export const keyOf = {
  address: ({ dev, ip }: Pick<AddressRow, 'dev' | 'ip'>): string => `${dev} ${ip}`,
  neighbour: ({ dev, ip }: Pick<NeighbourRow, 'dev' | 'ip'>): string => `${dev} ${ip}`,
  fdb: (row: Pick<FdbRow, 'table' | 'mac'>): string => `${row.table} ${row.mac}`,
  route: ({ dst }: Pick<RouteRow, 'dst'>): string => dst,
};

/** Rows under construction. */
export type RowsDraft = { -readonly [K in TableName]: Map<string, RowOf<K>> };

/** A draft without rows. */
export function noRows(): RowsDraft {
  return {
    sysctls: new Map(),
    links: new Map(),
    ports: new Map(),
    addresses: new Map(),
    neighbours: new Map(),
    fdb: new Map(),
    resolution: new Map(),
    routes: new Map(),
  };
}
