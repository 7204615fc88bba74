/** Server sockets inside a namespace, for Node to take over by their descriptor. */
import { familyOf, ipToBytes, type IpAddress } from '../../core/address.js';
import { Descriptor } from './descriptor.js';
import { bind, listen, setsockoptInt, socket } from './ffi.js';
import { checked } from './kernel-error.js';
import { inNetns } from './namespace.js';
import { AF_OF } from './netlink/family.js';

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SOL_IP = 0;
const IP_FREEBIND = 15;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_FREEBIND = 78;
const BACKLOG = 511;

/** Where a server listens. */
export interface ListenOptions {
  /** Path of the namespace. */
  readonly netns: string;
  readonly protocol: 'udp' | 'tcp';
  readonly ip: IpAddress;
  readonly port: number;
}

/**
 * Opens a socket inside the namespace, bound to the address and, for TCP, listening. The address need not be there yet
 * (IP_FREEBIND): a server may start before its link. Hand it on with `release()`: `dgram.bind({ fd })` for UDP
 * (which emits `listening` before it returns), `net.listen({ fd })` for TCP. Throws KernelError: EADDRINUSE when the port is taken there.
 */
export function listenInNetns({ netns, protocol, ip, port }: ListenOptions): Descriptor {
  const family = familyOf(ip);
  const operation = `listen on ${protocol} ${family === 6 ? `[${ip}]` : ip}:${String(port)} in ${netns}`;
  const type = (protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  const descriptor = new Descriptor(inNetns(netns, () => checked(operation, socket(AF_OF[family], type, 0))));
  try {
    const { fd } = descriptor;
    if (family === 6) {
      checked(operation, setsockoptInt(fd, SOL_IPV6, IPV6_V6ONLY, 1)); // IPv4 has a socket of its own
      checked(operation, setsockoptInt(fd, SOL_IPV6, IPV6_FREEBIND, 1));
    } else {
      checked(operation, setsockoptInt(fd, SOL_IP, IP_FREEBIND, 1));
    }
    // A restarted server must not wait for its predecessor's closed connections. Of UDP it would allow two at once.
    if (protocol === 'tcp') checked(operation, setsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    checked(operation, bind(fd, socketAddress(ip, port)));
    if (protocol === 'tcp') checked(operation, listen(fd, BACKLOG));
    return descriptor;
  } catch (error) {
    descriptor[Symbol.dispose]();
    throw error;
  }
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
function socketAddress(ip: IpAddress, port: number): Buffer {
  const family = familyOf(ip);
  const address = Buffer.alloc(family === 4 ? 16 : 28);
  address.writeUInt16LE(AF_OF[family], 0);
  address.writeUInt16BE(port, 2);
  ipToBytes(ip).copy(address, family === 4 ? 4 : 8);
  return address;
}
