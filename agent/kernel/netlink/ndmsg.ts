/** `struct ndmsg`, the header that neighbours and forwarding entries share. */
import type { AttributeWriter } from './attribute.js';

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;

export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NDA_IFINDEX = 8;
export const NDA_MASTER = 9;

export const NUD_REACHABLE = 0x02;
export const NUD_NOARP = 0x40;
export const NUD_PERMANENT = 0x80;

/** Bytes of it. */
export const NDMSG_LENGTH = 12;

/** Appends it. `state` is NUD_..., `flags` NTF_... */
export function writeNdmsg(out: AttributeWriter, family: number, index = 0, state = 0, flags = 0): void {
  out
    .rawU32(family)
    .rawU32(index)
    .rawU32(state | (flags << 16));
}
