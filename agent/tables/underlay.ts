/** The network that carries the tunnels, as far as an agent has to know it. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { familyOf, parseIp, prefixLengthOf, type IpAddress } from '../../core/address.js';
import { NetlinkHandle } from '../kernel/netlink/handle.js';

const RT_TABLE_MAIN = 254;

/** MTU of the link that has the address; undefined when no link of this host has it. Throws KernelError. */
export function mtuOfAddress(vtep: IpAddress): number | undefined {
  using handle = NetlinkHandle.open();
  const index = handle.addresses().find(({ ip }) => ip === vtep)?.index;
  return index === undefined ? undefined : handle.links().find((link) => link.index === index)?.mtu;
}

/** The source address of this host's default route, IPv4 before IPv6; undefined without one. Throws KernelError. */
export function addressOfDefaultRoute(): IpAddress | undefined {
  using handle = NetlinkHandle.open();
  const defaults = handle
    .routes()
    .filter(
      ({ dst, table, oif, type }) => prefixLengthOf(dst) === 0 && table === RT_TABLE_MAIN && oif !== 0 && type === 1,
    )
    .sort((a, b) => familyOf(a.dst) - familyOf(b.dst) || a.metric - b.metric);
  for (const { dst, oif, prefsrc } of defaults) {
    const family = familyOf(dst);
    const own = handle.addresses(oif).find(({ ip }) => familyOf(ip) === family && !ip.startsWith('fe80:'))?.ip;
    const source = prefsrc ?? own;
    if (source !== undefined) return source;
  }
  return undefined;
}

/** The address this host would send from to `host` (an address, or a name that is looked up); undefined without a route. Sends nothing. */
export async function addressTowards(host: string): Promise<IpAddress | undefined> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  try {
    // Connecting a datagram socket only chooses its route and source address.
    socket.connect(9, host);
    await once(socket, 'connect');
    return parseIp(socket.address().address);
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
