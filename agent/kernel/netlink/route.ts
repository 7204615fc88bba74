/** Routes. Messages as `ip route` sends them. */
import {
  ADDRESS_BITS,
  familyOf,
  ipToNumber,
  makeCidr,
  networkAddressOf,
  prefixLengthOf,
  type Cidr,
  type IpAddress,
} from '../../../core/address.js';
import { readAttributes } from './attribute.js';
import { AF_OF, familyOfAf } from './family.js';
import { headerOf } from './header.js';
import { NLM_F_CREATE, NLM_F_REPLACE, type Request } from './message.js';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
/** Bytes of `struct rtmsg`. */
const RTMSG = 12;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_TABLE = 15;
const RT_TABLE_COMPAT = 252;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;
const RTN_UNSPEC = 0;
const RTN_UNICAST = 1;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;

/** The table every lookup ends in. */
export const RT_TABLE_MAIN = 254;

/** A unicast route. */
export interface Route {
  /** `0.0.0.0/0` and `::/0` are the default routes. */
  readonly dst: Cidr;
  /** Index of the link it leaves by. */
  readonly oif: number;
  /** The next hop; absent when the destination is on the link. */
  readonly gateway?: IpAddress | undefined;
  /** The gateway is reached by the link though no subnet there holds it. */
  readonly onlink?: boolean | undefined;
  /** Source address for what this host sends itself. */
  readonly prefsrc?: IpAddress | undefined;
  /** Lower wins. Absent: 0 for IPv4, 1024 for IPv6 (the kernel's defaults). */
  readonly metric?: number | undefined;
  /** RT_TABLE_MAIN when absent. */
  readonly table?: number | undefined;
  /** RTPROT_...: who made it. */
  readonly protocol: number;
}

/** A route as the kernel lists it, every field filled in. `oif` is 0 for routes without a link, and of several next hops none is told. */
export interface ListedRoute {
  readonly dst: Cidr;
  readonly oif: number;
  readonly gateway: IpAddress | undefined;
  readonly onlink: boolean;
  readonly prefsrc: IpAddress | undefined;
  readonly metric: number;
  readonly table: number;
  readonly protocol: number;
  /** RTN_...: 1 is unicast. */
  readonly type: number;
  readonly scope: number;
}

/** Puts a route, in place of one with the same destination, metric and table. Equivalent to `ip route replace DST [via GW] dev X [onlink] [src IP] [metric N] [table T] proto P`. */
export function routePut(route: Route): Request {
  const scope = familyOf(route.dst) === 6 || route.gateway !== undefined ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  return change(
    'replace',
    { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, scope, rtnType: RTN_UNICAST },
    route,
  );
}

/** Deletes the route that matches every field given. Equivalent to `ip route del ...`. The kernel: ESRCH when there is none. */
export function routeDel(route: Route): Request {
  return change('del', { type: RTM_DELROUTE, flags: 0, scope: RT_SCOPE_NOWHERE, rtnType: RTN_UNSPEC }, route);
}

interface Verb {
  readonly type: number;
  readonly flags: number;
  readonly scope: number;
  readonly rtnType: number;
}

function change(word: string, { type, flags, scope, rtnType }: Verb, route: Route): Request {
  const { dst, oif, gateway, onlink = false, prefsrc, metric, table = RT_TABLE_MAIN, protocol } = route;
  const prefixLength = prefixLengthOf(dst);
  return {
    operation: `route ${word} ${dst}${gateway === undefined ? '' : ` via ${gateway}`} dev ${String(oif)}`,
    type,
    flags,
    write: (out) => {
      out
        .rawU8(AF_OF[familyOf(dst)])
        .rawU8(prefixLength)
        .rawU8(0)
        .rawU8(0)
        .rawU8(table < 256 ? table : RT_TABLE_COMPAT)
        .rawU8(protocol)
        .rawU8(scope)
        .rawU8(rtnType)
        .rawU32(onlink ? RTNH_F_ONLINK : 0);
      if (prefixLength > 0) out.ip(RTA_DST, networkAddressOf(dst));
      if (gateway !== undefined) out.ip(RTA_GATEWAY, gateway);
      if (prefsrc !== undefined) out.ip(RTA_PREFSRC, prefsrc);
      out.u32(RTA_OIF, oif);
      if (metric !== undefined) out.u32(RTA_PRIORITY, metric);
      out.u32(RTA_TABLE, table);
    },
  };
}

/** Asks for the routes of all tables, or just those a protocol made. Equivalent to `ip route show table all [proto P]` for both families. Decode with `decodeRoute`. */
export function routeList(protocol = 0): Request {
  return {
    operation: 'route list',
    type: RTM_GETROUTE,
    flags: 0,
    write: (out) => out.rawU32(0).rawU8(0).rawU8(protocol).rawU8(0).rawU8(0).rawU32(0),
  };
}

/** The route in the body of an RTM_NEWROUTE or RTM_DELROUTE; undefined for cached copies and families other than IPv4 and IPv6. Throws NetlinkFormatError. */
export function decodeRoute(body: Buffer): ListedRoute | undefined {
  const header = headerOf(body, RTMSG);
  const family = familyOfAf(header.readUInt8(0));
  const flags = header.readUInt32LE(8);
  if (family === undefined || (flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = readAttributes(body, RTMSG);
  const dst = attributes.ip(RTA_DST);
  const prefixLength = Math.min(header.readUInt8(1), ADDRESS_BITS[family]);
  return {
    dst: makeCidr(family, dst === undefined ? 0n : ipToNumber(dst), prefixLength),
    oif: attributes.u32(RTA_OIF) ?? 0,
    gateway: attributes.ip(RTA_GATEWAY),
    onlink: (flags & RTNH_F_ONLINK) !== 0,
    prefsrc: attributes.ip(RTA_PREFSRC),
    metric: attributes.u32(RTA_PRIORITY) ?? 0,
    table: attributes.u32(RTA_TABLE) ?? header.readUInt8(4),
    protocol: header.readUInt8(5),
    type: header.readUInt8(7),
    scope: header.readUInt8(6),
  };
}
