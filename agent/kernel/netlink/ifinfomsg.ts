/** `struct ifinfomsg`, the header of link messages. */
import type { AttributeWriter } from './attribute.js';

/** Bytes of it. */
export const IFINFOMSG_LENGTH = 16;

/** Its fields; zero when absent. */
export interface Ifinfomsg {
  readonly family?: number;
  readonly index?: number;
  /** IFF_..., of which those in `change` are set. */
  readonly flags?: number;
  readonly change?: number;
}

/** Appends it. */
export function writeIfinfomsg(
  out: AttributeWriter,
  { family = 0, index = 0, flags = 0, change = 0 }: Ifinfomsg,
): void {
  out.rawU8(family).rawU8(0).rawU16(0).rawU32(index).rawU32(flags).rawU32(change);
}
