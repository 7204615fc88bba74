/**
 * Forwarding entries: which way a MAC lies. Of a VXLAN device in a bridge there are two tables, and a frame needs an
 * entry in each: the bridge's (`master`: the MAC is behind this port) and the device's own (`self`: it is at that VTEP).
 * Messages as `bridge fdb` sends them.
 */
import type { IpAddress } from '../../../core/address.js';
import type { Mac } from '../../../core/mac.js';
import { readAttributes, type AttributeWriter } from './attribute.js';
import { headerOf } from './header.js';
import { NLM_F_CREATE, NLM_F_REPLACE, type Request } from './message.js';
import {
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NDA_MASTER,
  NDMSG_LENGTH,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_REACHABLE,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
  writeNdmsg,
} from './ndmsg.js';

const AF_BRIDGE = 7;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;
const NTF_EXT_LEARNED = 0x10;
/** What `bridge` sends for `static`. The bridge looks at NOARP; VXLAN refuses an entry without REACHABLE. */
const STATIC = NUD_NOARP | NUD_REACHABLE;

/** An entry in the bridge: the MAC is behind the port with this index. */
export interface MasterEntry {
  readonly table: 'master';
  readonly index: number;
  readonly mac: Mac;
}

/** An entry in a VXLAN device: the MAC is at the host with this tunnel address. */
export interface SelfEntry {
  readonly table: 'self';
  readonly index: number;
  readonly mac: Mac;
  readonly dst: IpAddress;
}

export type FdbEntry = MasterEntry | SelfEntry;

/** An entry as the kernel lists it. */
export interface ListedFdbEntry {
  readonly table: 'master' | 'self';
  readonly index: number;
  readonly mac: Mac;
  /** The tunnel address; only of a VXLAN device's own entries. */
  readonly dst: IpAddress | undefined;
  /** `local`: an interface's own MAC. `static`: put by hand. `dynamic`: learned. */
  readonly state: 'local' | 'static' | 'dynamic';
  /** Index of the bridge; only of its entries. */
  readonly master: number | undefined;
  /** Put by someone else's control plane (NTF_EXT_LEARNED). */
  readonly externallyLearned: boolean;
}

/** Puts a static entry, in place of any other of that MAC. Equivalent to `bridge fdb replace MAC dev X master static`, or `bridge fdb replace MAC dev X dst VTEP self static`. */
export function fdbPut(entry: FdbEntry): Request {
  return new FdbRequest('replace', entry);
}

/** Deletes an entry. Equivalent to `bridge fdb del MAC dev X master`, or `bridge fdb del MAC dev X dst VTEP self`. The kernel: ENOENT when there is none. */
export function fdbDel(entry: FdbEntry): Request {
  return new FdbRequest('del', entry);
}

/** A class, with nothing made in advance: entries come in tens of thousands, and closures and texts for each cost as much as encoding. */
class FdbRequest implements Request {
  readonly type: number;
  readonly flags: number;

  constructor(
    private readonly verb: 'replace' | 'del',
    private readonly entry: FdbEntry,
  ) {
    this.type = verb === 'replace' ? RTM_NEWNEIGH : RTM_DELNEIGH;
    this.flags = verb === 'replace' ? NLM_F_CREATE | NLM_F_REPLACE : 0;
  }

  get operation(): string {
    const { index, mac, table } = this.entry;
    return `fdb ${this.verb} ${mac} dev ${String(index)} ${table}`;
  }

  write(out: AttributeWriter): void {
    const { entry } = this;
    writeNdmsg(out, AF_BRIDGE, entry.index, STATIC, entry.table === 'self' ? NTF_SELF : NTF_MASTER);
    out.mac(NDA_LLADDR, entry.mac);
    if (entry.table === 'self') out.ip(NDA_DST, entry.dst);
  }
}

/** Asks for the entries of every device, or of one port (its bridge's entries for it, and its own). Equivalent to `bridge fdb show [dev X]`. Decode with `decodeFdbEntry`. */
export function fdbList(index?: number): Request {
  return {
    operation: 'fdb list',
    type: RTM_GETNEIGH,
    flags: 0,
    write: (out) => {
      writeNdmsg(out, AF_BRIDGE);
      if (index !== undefined) out.u32(NDA_IFINDEX, index);
    },
  };
}

/** The entry in the body of an RTM_NEWNEIGH or RTM_DELNEIGH; undefined for other families. Throws NetlinkFormatError. */
export function decodeFdbEntry(body: Buffer): ListedFdbEntry | undefined {
  const header = headerOf(body, NDMSG_LENGTH);
  if (header.readUInt8(0) !== AF_BRIDGE) return undefined;
  const attributes = readAttributes(body, NDMSG_LENGTH);
  const mac = attributes.mac(NDA_LLADDR);
  if (mac === undefined) return undefined;
  const state = header.readUInt16LE(8);
  const flags = header.readUInt8(10);
  const master = attributes.u32(NDA_MASTER);
  return {
    table: master === undefined || (flags & NTF_SELF) !== 0 ? 'self' : 'master',
    index: header.readInt32LE(4),
    mac,
    dst: attributes.ip(NDA_DST),
    state: (state & NUD_PERMANENT) !== 0 ? 'local' : (state & NUD_NOARP) !== 0 ? 'static' : 'dynamic',
    master,
    externallyLearned: (flags & NTF_EXT_LEARNED) !== 0,
  };
}
