/** What hosts say of a network that they have, and do not have quite as it was asked for. */
import type { Host } from '../../proto/gen/weft/v1/host.js';
import type { Controllers } from '../connect.js';
import type { Invocation } from '../invocation.js';
import { allHosts } from '../lists.js';
import { byName } from '../natural-order.js';

/** Remarks that are printed; the rest are counted. */
const TOLD_MAX = 10;

/** Prints a remark for each: `h2: network web, mtu: 9000 bytes do not fit the underlay's 1500; 1450 are used here`. */
export async function tellNotices(invocation: Invocation, controllers: Controllers, network: string): Promise<void> {
  const notices = noticesOf(network, await allHosts(controllers));
  for (const notice of notices.slice(0, TOLD_MAX)) invocation.note(notice);
  if (notices.length > TOLD_MAX) {
    invocation.note(`and ${String(notices.length - TOLD_MAX)} more of network ${network}: weft status`);
  }
}

/** The hosts' problems with this network, in the order of the hosts. Pure. */
export function noticesOf(network: string, hosts: readonly Host[]): readonly string[] {
  return [...hosts].sort(byName).flatMap(({ name, problems }) =>
    problems.flatMap(({ object, message }) => {
      // The host's own objects begin with its name; what its routes are in the way of is named in the message.
      const what = object.startsWith(`${name} `) ? object.slice(name.length + 1) : object;
      const concerns = what === `network ${network}` || what.startsWith(`network ${network}, `);
      return concerns || message.includes(` network ${network} (`) ? [`${name}: ${what}: ${message}`] : [];
    }),
  );
}
