/** Addresses of links. Messages as `ip address` sends them. */
import { ADDRESS_BITS, familyOf, type IpAddress } from '../../../core/address.js';
import { AF_OF } from './family.js';
import { readAttributes } from './attribute.js';
import { headerOf } from './header.js';
import { NLM_F_CREATE, NLM_F_REPLACE, type Request } from './message.js';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
/** Bytes of `struct ifaddrmsg`. */
const IFADDRMSG = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
const IFA_F_NODAD = 0x02;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

/** An address on a link. */
export interface LinkAddress {
  readonly index: number;
  readonly ip: IpAddress;
  readonly prefixLength: number;
}

/** An address as the kernel lists it. */
export interface ListedAddress extends LinkAddress {
  readonly nodad: boolean;
  readonly noprefixroute: boolean;
  /** Set by hand, not learned with a lifetime. */
  readonly permanent: boolean;
  /** Who put it (IFA_PROTO, since Linux 5.18); 0 when nobody said. */
  readonly protocol: number;
}

/** How an address is put. */
export interface AddressOptions extends LinkAddress {
  /** Without the route to its subnet; off when absent. */
  readonly noprefixroute?: boolean | undefined;
  /** Who puts it, 1 to 255 (IFA_PROTO); not said when absent. */
  readonly protocol?: number | undefined;
}

/**
 * Puts an address, at once usable: duplicate detection is off, since the cluster guarantees that there is no duplicate.
 * Equivalent to `ip address replace IP/LEN dev X nodad [noprefixroute] [proto P]`.
 */
export function addressPut({ noprefixroute = false, protocol = 0, ...address }: AddressOptions): Request {
  const flags = (familyOf(address.ip) === 6 ? IFA_F_NODAD : 0) | (noprefixroute ? IFA_F_NOPREFIXROUTE : 0);
  return change('replace', RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address, { flags, protocol });
}

/** Takes an address off. Equivalent to `ip address del IP/LEN dev X`. The kernel: EADDRNOTAVAIL when it is not there. */
export function addressDel(address: LinkAddress): Request {
  return change('del', RTM_DELADDR, 0, address, { flags: 0, protocol: 0 });
}

function change(
  verb: string,
  type: number,
  flags: number,
  { index, ip, prefixLength }: LinkAddress,
  ifa: { readonly flags: number; readonly protocol: number },
): Request {
  const family = familyOf(ip);
  if (prefixLength > ADDRESS_BITS[family]) throw new RangeError(`/${String(prefixLength)} is too long for ${ip}`);
  return {
    operation: `address ${verb} ${ip}/${String(prefixLength)} dev ${String(index)}`,
    type,
    flags,
    write: (out) => {
      out.rawU8(AF_OF[family]).rawU8(prefixLength).rawU8(0).rawU8(0).rawU32(index);
      out.ip(IFA_LOCAL, ip).ip(IFA_ADDRESS, ip);
      if (ifa.flags !== 0) out.u32(IFA_FLAGS, ifa.flags);
      if (ifa.protocol !== 0) out.u8(IFA_PROTO, ifa.protocol);
    },
  };
}

/** Asks for the addresses of one link, or of all. Equivalent to `ip address show [dev X]`. Decode with `decodeAddress`. */
export function addressList(index = 0): Request {
  return {
    operation: 'address list',
    type: RTM_GETADDR,
    flags: 0,
    write: (out) => out.rawU32(0).rawU32(index),
  };
}

/** The address in the body of an RTM_NEWADDR or RTM_DELADDR; undefined for a family that is neither IPv4 nor IPv6. Throws NetlinkFormatError. */
export function decodeAddress(body: Buffer): ListedAddress | undefined {
  const header = headerOf(body, IFADDRMSG);
  const attributes = readAttributes(body, IFADDRMSG);
  // On a point-to-point link IFA_ADDRESS is the other end's; IPv6 gives IFA_LOCAL only then.
  const ip = attributes.ip(IFA_LOCAL) ?? attributes.ip(IFA_ADDRESS);
  if (ip === undefined) return undefined;
  const flags = attributes.u32(IFA_FLAGS) ?? header.readUInt8(2);
  return {
    index: header.readUInt32LE(4),
    ip,
    prefixLength: header.readUInt8(1),
    nodad: (flags & IFA_F_NODAD) !== 0,
    noprefixroute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    protocol: attributes.u8(IFA_PROTO) ?? 0,
  };
}
