/** Numbers that are handed out from a range: VXLAN ids, and hosts' numbers. */

/** A range, both ends included. */
export interface NumberRange {
  readonly first: number;
  readonly last: number;
}

/** VXLAN ids of networks. The first 4,096 are left to VLANs that may one day be mapped one to one. */
export const VNI_RANGE: NumberRange = { first: 4_096, last: 0xff_ffff };

/** Hosts' numbers: 16 bits, because marks and conntrack zones are made of them; 0 means no host there. */
export const HOST_NUMBER_RANGE: NumberRange = { first: 1, last: 0xffff };

/** The next free number after the last one, wrapping around. Undefined only when every one is held. */
export function chooseNumber(options: {
  readonly range: NumberRange;
  readonly isHeld: (number: number) => boolean;
  /** How many are held; bounds the search. */
  readonly heldCount: number;
  /** The number handed out last. */
  readonly after: number | undefined;
}): number | undefined {
  const { range, isHeld, heldCount, after } = options;
  const { first, last } = range;
  let candidate = after !== undefined && after >= first && after < last ? after + 1 : first;
  const enough = Math.min(last - first + 1, heldCount + 1);
  for (let tried = 0; tried < enough; tried += 1) {
    if (!isHeld(candidate)) return candidate;
    candidate = candidate === last ? first : candidate + 1;
  }
  return undefined;
}
