/** Address families by the kernel's numbers. */
import type { Family } from '../../../core/address.js';

/** AF_INET and AF_INET6. */
export const AF_OF: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };

/** The family of an AF_... number; undefined for any but IPv4 and IPv6. */
export function familyOfAf(af: number): Family | undefined {
  return af === AF_OF[4] ? 4 : af === AF_OF[6] ? 6 : undefined;
}
