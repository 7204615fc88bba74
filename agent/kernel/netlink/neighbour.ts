/** Neighbours: which MAC an address has. Messages as `ip neighbour` sends them. */
import { familyOf, type IpAddress } from '../../../core/address.js';
import type { Mac } from '../../../core/mac.js';
import { readAttributes, type AttributeWriter } from './attribute.js';
import { AF_OF, familyOfAf } from './family.js';
import { headerOf } from './header.js';
import { NLM_F_CREATE, NLM_F_REPLACE, type Request } from './message.js';
import {
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NDMSG_LENGTH,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  writeNdmsg,
} from './ndmsg.js';

/** A fixed neighbour. */
export interface Neighbour {
  readonly index: number;
  readonly ip: IpAddress;
  readonly mac: Mac;
}

/** A neighbour as the kernel lists it; without a MAC while (or because) it was not resolved. */
export interface ListedNeighbour {
  readonly index: number;
  readonly ip: IpAddress;
  readonly mac: Mac | undefined;
  /** Set by hand, never aged nor asked for (NUD_PERMANENT). */
  readonly permanent: boolean;
}

/** Puts a permanent neighbour, in place of any other of that address. Equivalent to `ip neighbour replace IP lladdr MAC dev X nud permanent`. */
export function neighbourPut({ index, ip, mac }: Neighbour): Request {
  return new NeighbourRequest(index, ip, mac);
}

/** Deletes a neighbour. Equivalent to `ip neighbour del IP dev X`. The kernel: ENOENT when there is none. */
export function neighbourDel({ index, ip }: Pick<Neighbour, 'index' | 'ip'>): Request {
  return new NeighbourRequest(index, ip, undefined);
}

/** A class, with nothing made in advance, as FdbRequest. Without a MAC it deletes. */
class NeighbourRequest implements Request {
  readonly type: number;
  readonly flags: number;

  constructor(
    private readonly index: number,
    private readonly ip: IpAddress,
    private readonly mac: Mac | undefined,
  ) {
    this.type = mac === undefined ? RTM_DELNEIGH : RTM_NEWNEIGH;
    this.flags = mac === undefined ? 0 : NLM_F_CREATE | NLM_F_REPLACE;
  }

  get operation(): string {
    return `neighbour ${this.mac === undefined ? 'del' : 'replace'} ${this.ip} dev ${String(this.index)}`;
  }

  write(out: AttributeWriter): void {
    const { index, ip, mac } = this;
    writeNdmsg(out, AF_OF[familyOf(ip)], index, mac === undefined ? 0 : NUD_PERMANENT);
    out.ip(NDA_DST, ip);
    if (mac !== undefined) out.mac(NDA_LLADDR, mac);
  }
}

/** Asks for the neighbours of one link, or of all, of both families. Equivalent to `ip neighbour show [dev X] nud all`. Decode with `decodeNeighbour`. */
export function neighbourList(index?: number): Request {
  return {
    operation: 'neighbour list',
    type: RTM_GETNEIGH,
    flags: 0,
    write: (out) => {
      writeNdmsg(out, 0);
      if (index !== undefined) out.u32(NDA_IFINDEX, index);
    },
  };
}

/** The neighbour in the body of an RTM_NEWNEIGH or RTM_DELNEIGH; undefined for other families (a bridge's entries: see fdb). Throws NetlinkFormatError. */
export function decodeNeighbour(body: Buffer): ListedNeighbour | undefined {
  const header = headerOf(body, NDMSG_LENGTH);
  if (familyOfAf(header.readUInt8(0)) === undefined) return undefined;
  const attributes = readAttributes(body, NDMSG_LENGTH);
  const ip = attributes.ip(NDA_DST);
  if (ip === undefined) return undefined;
  return {
    index: header.readInt32LE(4),
    ip,
    mac: attributes.mac(NDA_LLADDR),
    permanent: (header.readUInt16LE(8) & NUD_PERMANENT) !== 0,
  };
}
