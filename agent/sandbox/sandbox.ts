/** A sandbox by itself, before it joins any network: loopback up, and settings that suit a container. */
import { noRows, type NamespaceRows } from '../tables/rows.js';

const SANDBOX_SYSCTLS: ReadonlyMap<string, string> = new Map([
  // The cluster guarantees that there is no duplicate address; detecting one would cost a second before the first packet.
  ['ipv6/conf/all/accept_dad', '0'],
  ['ipv6/conf/default/accept_dad', '0'],
  // Routes come from Weft alone, not from whoever calls itself a router.
  ['ipv6/conf/all/accept_ra', '0'],
  ['ipv6/conf/default/accept_ra', '0'],
  // An address that somebody else put into the sandbox stays when Weft's own beside it changes its length or goes.
  ['ipv4/conf/all/promote_secondaries', '1'],
  // ping without privileges, as on every desktop and in every container.
  ['ipv4/ping_group_range', '0 2147483647'],
]);

/** What every sandbox's namespace holds. Pure. */
export function sandboxRows(): NamespaceRows {
  return { ...noRows(), sysctls: SANDBOX_SYSCTLS, links: new Map([['lo', { kind: 'loopback' }]]) };
}
