/** One network namespace's tables. A handle is pinned to the namespace it was opened in. */
import { decodeAddress, addressList, type ListedAddress } from './address.js';
import { decodeFdbEntry, fdbList, type ListedFdbEntry } from './fdb.js';
import { decodeLink, linkGet, linkList, type Link } from './link.js';
import type { Request } from './message.js';
import { decodeNeighbour, neighbourList, type ListedNeighbour } from './neighbour.js';
import { decodeRoute, routeList, type ListedRoute } from './route.js';
import { NetlinkSocket, type NetnsOptions, type Result } from './socket.js';

/** Lists and changes one namespace's tables. Every method throws KernelError unless it says otherwise. */
export class NetlinkHandle implements Disposable {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Opens a handle in the namespace, the caller's own when `netns` is absent. */
  static open(options: NetnsOptions = {}): NetlinkHandle {
    return new NetlinkHandle(NetlinkSocket.open(options));
  }

  /** Many changes, one result each (undefined: done); none stops another. Does not throw the kernel's refusals. */
  request(requests: readonly Request[]): Result[] {
    return this.#socket.request(requests);
  }

  /** One change; its refusal is thrown. */
  do(request: Request): void {
    this.#socket.do(request);
  }

  /** The link of that name; undefined when there is none. */
  link(name: string): Link | undefined {
    return this.#socket.get(linkGet(name), decodeLink);
  }

  links(): Link[] {
    return this.#socket.dump(linkList(), decodeLink);
  }

  /** Addresses of the link, or of all. */
  addresses(index?: number): ListedAddress[] {
    return this.#socket.dump(addressList(index), decodeAddress);
  }

  /** Routes of all tables, or just those that `protocol` made. */
  routes(protocol?: number): ListedRoute[] {
    return this.#socket.dump(routeList(protocol), decodeRoute);
  }

  /** Neighbours at the link, or at all. */
  neighbours(index?: number): ListedNeighbour[] {
    return this.#socket.dump(neighbourList(index), decodeNeighbour);
  }

  /** Forwarding entries of the port, or of all devices. */
  fdb(index?: number): ListedFdbEntry[] {
    return this.#socket.dump(fdbList(index), decodeFdbEntry);
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
