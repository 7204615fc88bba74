/** Which subnet a network gets that names none: the lowest free one of the pools. */
import { createHash } from 'node:crypto';
import {
  ADDRESS_BITS,
  boundsOf,
  familyOf,
  ipToNumber,
  makeCidr,
  networkOf,
  parseCidr,
  prefixLengthOf,
  type Cidr,
  type Family,
  type IpAddress,
} from '../../core/address.js';
import { objectionToRange } from '../../core/special-range.js';

/** Subnets of one size out of one range: `10.128.0.0/9` cut into /24s. */
export interface SubnetPool {
  readonly range: Cidr;
  /** Prefix length of the subnets. */
  readonly size: number;
}

/** Smallest and largest subnets a network may have, as prefix lengths. */
export const SUBNET_PREFIXES: Readonly<Record<Family, { readonly shortest: number; readonly longest: number }>> = {
  4: { shortest: 8, longest: 30 },
  6: { shortest: 48, longest: 126 },
};

/**
 * The pools of a cluster that was given none. For IPv6 a /48 of unique local addresses whose 40 random bits (RFC 4193)
 * come from the cluster's id: the same on every controller, another in every cluster.
 */
export function defaultPools(clusterId: string): readonly SubnetPool[] {
  const random = createHash('sha256').update(clusterId).digest().subarray(0, 5);
  const prefix = (0xfdn << 40n) | BigInt(`0x${random.toString('hex')}`);
  return [
    { range: makeCidr(4, 0x0a800000n, 9), size: 24 },
    { range: makeCidr(6, prefix << 80n, 48), size: 64 },
  ];
}

/** The pool in `text`, `CIDR/SIZE` as in `10.128.0.0/9/24`; or what is wrong with it, as a sentence. */
export function parsePool(text: string): SubnetPool | string {
  const slash = text.lastIndexOf('/');
  const rangeText = text.slice(0, slash);
  const range = parseCidr(rangeText);
  if (range === undefined) {
    const meant = networkOf(rangeText);
    return meant === undefined
      ? `${JSON.stringify(text)}: expected CIDR/SIZE, as in 10.128.0.0/9/24`
      : `${JSON.stringify(text)}: host bits are set; did you mean ${meant}/${text.slice(slash + 1)}?`;
  }
  const objection = objectionToRange(range);
  if (objection !== undefined) return `${JSON.stringify(text)}: ${range} ${objection}`;
  const sizeText = text.slice(slash + 1);
  const size = Number(sizeText);
  const { shortest, longest } = SUBNET_PREFIXES[familyOf(range)];
  const from = Math.max(shortest, prefixLengthOf(range));
  if (!/^\d{1,3}$/.test(sizeText) || size < from || size > longest) {
    return `${JSON.stringify(text)}: subnets of ${range} have a prefix length from ${String(from)} to ${String(longest)}`;
  }
  return { range, size };
}

/** What an automatic subnet must not overlap: subnets of networks, and tunnel addresses. */
export type Taken = readonly (Cidr | IpAddress)[];

/**
 * The lowest subnet of the pools of this family that overlaps nothing that is taken. One sweep over what is taken in
 * order, so it costs no more with large pools. Undefined: every pool is used up.
 */
export function chooseSubnet(options: {
  readonly pools: readonly SubnetPool[];
  readonly family: Family;
  readonly taken: Taken;
}): Cidr | undefined {
  const { pools, family, taken } = options;
  const intervals = taken
    .filter((each) => familyOf(each) === family)
    .map(intervalOf)
    .sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  for (const { range, size } of pools.filter((pool) => familyOf(pool.range) === family)) {
    const step = 1n << BigInt(ADDRESS_BITS[family] - size);
    const { first, last } = boundsOf(range);
    let candidate = first;
    for (const interval of intervals) {
      if (interval.last < candidate) continue;
      if (interval.first >= candidate + step) break;
      candidate = (interval.last / step + 1n) * step;
    }
    if (candidate + step - 1n <= last) return makeCidr(family, candidate, size);
  }
  return undefined;
}

/** How many subnets the pools of this family hold. */
export function subnetCount(pools: readonly SubnetPool[], family: Family): bigint {
  return pools
    .filter(({ range }) => familyOf(range) === family)
    .reduce((sum, { range, size }) => sum + (1n << BigInt(size - prefixLengthOf(range))), 0n);
}

function intervalOf(taken: Cidr | IpAddress): { readonly first: bigint; readonly last: bigint } {
  if (taken.includes('/')) return boundsOf(taken as Cidr);
  const number = ipToNumber(taken as IpAddress);
  return { first: number, last: number };
}
