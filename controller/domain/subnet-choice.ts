/**
 * The subnets that a network gets without naming them: they overlap no other network, and nothing that any host says it
 * has for itself. Whoever chooses does so one after the other, through the guard of the space.
 */
import { familyOf, overlaps, type Cidr, type Family, type IpAddress } from '../../core/address.js';
import type { Rejection } from '../../core/errors.js';
import type { View } from '../cache/view.js';
import { chooseSubnet, subnetCount, type SubnetPool } from './subnet-pool.js';

/** One free subnet of each of these families. Refuses with SUBNETS_EXHAUSTED. */
export function chooseSubnets(
  view: View,
  families: readonly Family[],
  pools: readonly SubnetPool[],
): readonly Cidr[] | Rejection {
  if (families.length === 0) return [];
  const networks = [...view.networks.values()].flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr));
  // Hosts of one site say much the same.
  const hosts = [...new Set([...view.hosts.values()].flatMap(({ vtep, prefixes }) => [vtep, ...prefixes]))];
  const taken = [...networks, ...hosts];
  const chosen: Cidr[] = [];
  for (const family of families) {
    const cidr = chooseSubnet({ pools, family, taken });
    if (cidr === undefined) return exhausted({ pools, family, networks, hosts });
    chosen.push(cidr);
  }
  return chosen;
}

function exhausted(options: {
  readonly pools: readonly SubnetPool[];
  readonly family: Family;
  readonly networks: readonly Cidr[];
  readonly hosts: readonly (Cidr | IpAddress)[];
}): Rejection {
  const { pools, family } = options;
  const count = subnetCount(pools, family);
  const ofFamily = pools.filter(({ range }) => familyOf(range) === family);
  const inPools = (each: Cidr | IpAddress): boolean => ofFamily.some(({ range }) => overlaps(range, asCidr(each)));
  const networks = options.networks.filter(inPools).length;
  const hosts = options.hosts.filter(inPools);
  const [example] = hosts;
  const such = example === undefined ? '' : `, such as ${example}`;
  const message =
    count === 0n
      ? `there is no pool of IPv${String(family)} subnets; name a subnet, or give the controllers a --pool`
      : `none of the ${String(count)} IPv${String(family)} subnets of the pools is free (in them are subnets of networks: ` +
        `${String(networks)}; addresses and routes of hosts: ${String(hosts.length)}${such}); ` +
        'name a subnet, or give the controllers a further --pool';
  return {
    ...{ reason: 'SUBNETS_EXHAUSTED', message, violations: [{ field: 'subnets', description: message }] },
    metadata: { subnets: String(count), networks: String(networks), hosts: String(hosts.length) },
  };
}

function asCidr(value: Cidr | IpAddress): Cidr {
  return (value.includes('/') ? value : `${value}/${value.includes(':') ? '128' : '32'}`) as Cidr;
}
