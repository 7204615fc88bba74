/** Links: veth pairs, bridges, VXLAN devices, and what every link has. Messages as `ip link` sends them. */
import { familyOf, type IpAddress } from '../../../core/address.js';
import type { Mac } from '../../../core/mac.js';
import { readAttributes, type AttributeWriter, type Attributes } from './attribute.js';
import { NLM_F_CREATE, NLM_F_EXCL, type Request } from './message.js';
import { decodeBridgePort, type BridgePort } from './bridge-port.js';
import { headerOf } from './header.js';
import { IFINFOMSG_LENGTH, writeIfinfomsg } from './ifinfomsg.js';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFF_UP = 1;
const AF_INET6 = 10;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_LINK_NETNSID = 37;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IFLA_BR_STP_STATE = 5;
const IFLA_BR_MCAST_SNOOPING = 23;
const IFLA_BR_VLAN_DEFAULT_PVID = 39;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_LOCAL6 = 17;

/** IN6_ADDR_GEN_MODE_..., by `ip`'s names. */
const ADDR_GEN_MODES = ['eui64', 'none', 'stable_secret', 'random'] as const;
/** How a link makes itself a link-local IPv6 address when it comes up. */
export type AddrGenMode = (typeof ADDR_GEN_MODES)[number];

/** RFC 2863 states (IF_OPER_...), by `ip`'s names. */
const OPER_STATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const;

/** What any link may be given when it is made. No alias and no addrgenmode: the kernel ignores them there, see `linkSet`. */
export interface LinkOptions {
  readonly name: string;
  readonly mac?: Mac | undefined;
  readonly mtu?: number | undefined;
  /** Index of the bridge to join, in the link's own namespace. */
  readonly master?: number | undefined;
  /** Descriptor of the namespace to make it in, from `openNetns`; the socket's own when absent. */
  readonly netnsFd?: number | undefined;
}

/** A VXLAN device's own options. */
export interface VxlanOptions extends LinkOptions {
  readonly vni: number;
  /** The host's tunnel address; decides the underlay's family. */
  readonly local: IpAddress;
  /** UDP port; 4789 by standard. */
  readonly port: number;
}

/** Both ends of a veth pair; the peer's `netnsFd` may differ. */
export interface VethOptions extends LinkOptions {
  readonly peer: LinkOptions;
}

/** What can be changed of a link that exists; absent fields stay. */
export interface LinkChange {
  readonly up?: boolean | undefined;
  readonly name?: string | undefined;
  readonly mtu?: number | undefined;
  readonly mac?: Mac | undefined;
  /** Free text that says whose the link is; kept by the kernel (IFLA_IFALIAS). */
  readonly alias?: string | undefined;
  /** Index of the bridge to join; 0 leaves it. */
  readonly master?: number | undefined;
  readonly addrGenMode?: AddrGenMode | undefined;
}

/** A link as the kernel lists it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `veth`, `bridge`, `vxlan`, ...; undefined for hardware and loopback. */
  readonly kind: string | undefined;
  readonly up: boolean;
  readonly operState: string;
  readonly mtu: number;
  readonly mac: Mac | undefined;
  /** Index of the bridge it belongs to. */
  readonly master: number | undefined;
  readonly alias: string | undefined;
  readonly addrGenMode: AddrGenMode | undefined;
  /** Index of the other end (veth), in its own namespace. */
  readonly peerIndex: number | undefined;
  /** Whether that other end is in another namespace. */
  readonly peerElsewhere: boolean;
  readonly bridge: { readonly mcastSnooping: boolean; readonly stp: boolean } | undefined;
  readonly vxlan:
    | { readonly vni: number; readonly local: IpAddress | undefined; readonly port: number; readonly learning: boolean }
    | undefined;
  /** Flags as a port of a bridge. */
  readonly port: BridgePort | undefined;
}

function writeOptions(out: AttributeWriter, { name, mac, mtu, master, netnsFd }: LinkOptions): void {
  out.string(IFLA_IFNAME, name);
  if (mac !== undefined) out.mac(IFLA_ADDRESS, mac);
  if (mtu !== undefined) out.u32(IFLA_MTU, mtu);
  if (master !== undefined) out.u32(IFLA_MASTER, master);
  if (netnsFd !== undefined) out.u32(IFLA_NET_NS_FD, netnsFd);
}

function linkAdd(options: LinkOptions, kind: string, data: (out: AttributeWriter) => void): Request {
  return {
    operation: `link add ${options.name} type ${kind}`,
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    write: (out) => {
      writeIfinfomsg(out, {});
      writeOptions(out, options);
      out.nested(IFLA_LINKINFO, () => {
        out.string(IFLA_INFO_KIND, kind).nested(IFLA_INFO_DATA, data);
      });
    },
  };
}

/**
 * Makes a veth pair, each end in place in its namespace. Equivalent to
 * `ip link add NAME [netns NS] [mtu N] [address MAC] type veth peer name PEER [netns NS] [mtu N] [address MAC]`.
 * The kernel: EEXIST when either name is taken.
 */
export function vethAdd(options: VethOptions): Request {
  return linkAdd(options, 'veth', (out) => {
    out.nested(VETH_INFO_PEER, () => {
      writeIfinfomsg(out, {});
      writeOptions(out, options.peer);
    });
  });
}

/**
 * Makes a bridge without spanning tree, multicast snooping or a default VLAN (with one, a kernel that can filter VLANs
 * keeps every forwarding entry twice, though it filters none). Its MTU is set afterwards (`linkSet`): one given here
 * does not count as chosen, and the first port that joins changes it. Equivalent to
 * `ip link add NAME address MAC type bridge stp_state 0 mcast_snooping 0 vlan_default_pvid 0`.
 */
export function bridgeAdd(options: Omit<LinkOptions, 'mtu'> & { readonly mac: Mac }): Request {
  return linkAdd(options, 'bridge', (out) => {
    out.u32(IFLA_BR_STP_STATE, 0).u8(IFLA_BR_MCAST_SNOOPING, 0).u16(IFLA_BR_VLAN_DEFAULT_PVID, 0);
  });
}

/**
 * Makes a VXLAN device that learns nothing. Its UDP socket is in the namespace of the socket that sends this, wherever
 * `netnsFd` puts the device. Equivalent to `ip link add NAME netns NS type vxlan id VNI local IP dstport PORT nolearning`.
 * The kernel: EEXIST also when another device there has the same VNI and port; EADDRINUSE when the port is taken.
 */
export function vxlanAdd(options: VxlanOptions): Request {
  return linkAdd(options, 'vxlan', (out) => {
    out
      .u32(IFLA_VXLAN_ID, options.vni)
      .ip(familyOf(options.local) === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, options.local)
      .u8(IFLA_VXLAN_LEARNING, 0)
      .u16be(IFLA_VXLAN_PORT, options.port);
  });
}

/** Changes a link. Equivalent to `ip link set dev X up|down, mtu, address, alias, master|nomaster, addrgenmode, name`. */
export function linkSet(index: number, change: LinkChange): Request {
  const { up, name, mtu, mac, alias, master, addrGenMode } = change;
  return {
    operation: `link set ${String(index)} ${Object.keys(change).join(' ')}`,
    // RTM_NEWLINK as `ip` sends it: RTM_SETLINK ignores some of the attributes.
    type: RTM_NEWLINK,
    flags: 0,
    write: (out) => {
      writeIfinfomsg(out, { index, flags: up === true ? IFF_UP : 0, change: up === undefined ? 0 : IFF_UP });
      if (name !== undefined) out.string(IFLA_IFNAME, name);
      if (mtu !== undefined) out.u32(IFLA_MTU, mtu);
      if (mac !== undefined) out.mac(IFLA_ADDRESS, mac);
      if (alias !== undefined) out.string(IFLA_IFALIAS, alias);
      if (master !== undefined) out.u32(IFLA_MASTER, master);
      if (addrGenMode !== undefined) {
        out.nested(IFLA_AF_SPEC, () =>
          out.nested(AF_INET6, () => out.u8(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODES.indexOf(addrGenMode))),
        );
      }
    },
  };
}

/** Deletes a link, of a veth pair both ends. Equivalent to `ip link del dev X`. The kernel: ENODEV when there is none. */
export function linkDel(index: number): Request {
  return {
    operation: `link del ${String(index)}`,
    type: RTM_DELLINK,
    flags: 0,
    write: (out) => {
      writeIfinfomsg(out, { index });
    },
  };
}

/** Asks for all links. Equivalent to `ip -d link show`. Decode with `decodeLink`. */
export function linkList(): Request {
  return {
    operation: 'link list',
    type: RTM_GETLINK,
    flags: 0,
    write: (out) => {
      writeIfinfomsg(out, {});
    },
  };
}

/** Asks for the link of that name. Equivalent to `ip -d link show dev NAME`. Decode with `decodeLink`. */
export function linkGet(name: string): Request {
  return {
    operation: `link get ${name}`,
    type: RTM_GETLINK,
    flags: 0,
    write: (out) => {
      writeIfinfomsg(out, {});
      out.string(IFLA_IFNAME, name);
    },
  };
}

/** The link in the body of an RTM_NEWLINK or RTM_DELLINK. Throws NetlinkFormatError. */
export function decodeLink(body: Buffer): Link {
  const header = headerOf(body, IFINFOMSG_LENGTH);
  const attributes = readAttributes(body, IFINFOMSG_LENGTH);
  const info = attributes.nested(IFLA_LINKINFO);
  const kind = info?.string(IFLA_INFO_KIND);
  const data = info?.nested(IFLA_INFO_DATA);
  const mode = attributes.nested(IFLA_AF_SPEC)?.nested(AF_INET6)?.u8(IFLA_INET6_ADDR_GEN_MODE);
  return {
    index: header.readInt32LE(4),
    name: attributes.string(IFLA_IFNAME) ?? '',
    kind,
    up: (header.readUInt32LE(8) & IFF_UP) !== 0,
    operState: OPER_STATES[attributes.u8(IFLA_OPERSTATE) ?? 0] ?? 'unknown',
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    mac: attributes.mac(IFLA_ADDRESS),
    master: attributes.u32(IFLA_MASTER),
    alias: attributes.string(IFLA_IFALIAS),
    addrGenMode: mode === undefined ? undefined : ADDR_GEN_MODES[mode],
    peerIndex: kind === 'veth' ? attributes.u32(IFLA_LINK) : undefined,
    peerElsewhere: attributes.has(IFLA_LINK_NETNSID),
    bridge: kind === 'bridge' && data !== undefined ? decodeBridge(data) : undefined,
    vxlan: kind === 'vxlan' && data !== undefined ? decodeVxlan(data) : undefined,
    port:
      info?.string(IFLA_INFO_SLAVE_KIND) === 'bridge' ? decodeBridgePort(info.nested(IFLA_INFO_SLAVE_DATA)) : undefined,
  };
}

function decodeBridge(data: Attributes): Link['bridge'] {
  return { mcastSnooping: data.u8(IFLA_BR_MCAST_SNOOPING) === 1, stp: (data.u32(IFLA_BR_STP_STATE) ?? 0) !== 0 };
}

function decodeVxlan(data: Attributes): Link['vxlan'] {
  return {
    vni: data.u32(IFLA_VXLAN_ID) ?? 0,
    local: data.ip(IFLA_VXLAN_LOCAL) ?? data.ip(IFLA_VXLAN_LOCAL6),
    port: data.u16be(IFLA_VXLAN_PORT) ?? 0,
    learning: data.u8(IFLA_VXLAN_LEARNING) === 1,
  };
}
