/** The network between a lab's machines: a bridge in a namespace of its own, without any way out. */
import type { NamespaceHost } from './namespace-host.js';
import { LabError } from './lab-error.js';
import { UNDERLAY_PREFIX } from './layout.js';
import { run } from './process.js';

const BRIDGE = 'underlay';

/** The bridge's port to a machine. */
export function portOf(machine: string): string {
  return `to-${machine}`;
}

/** Makes the bridge on the machine set aside for it. */
export async function makeUnderlay(machine: NamespaceHost, signal: AbortSignal): Promise<void> {
  // Where br_netfilter is loaded, a new namespace sends bridged packets through its firewall, and pays for it.
  // `-e`: without the module there are no such settings.
  const calls = ['iptables', 'ip6tables', 'arptables'].map((kind) => `net.bridge.bridge-nf-call-${kind}=0`);
  await machine.must(['sysctl', '--quiet', '--ignore', '--write', ...calls], { signal });
  const lines = [
    `link add ${BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
    `link set ${BRIDGE} addrgenmode none`,
    `link set ${BRIDGE} up`,
  ];
  await batch(machine, lines, signal);
}

/** Gives every host its `eth0` on the underlay, with its two addresses. Equivalent to `ip link add ... type veth`. */
export async function joinUnderlay(
  machine: NamespaceHost,
  hosts: readonly NamespaceHost[],
  signal: AbortSignal,
): Promise<void> {
  const ports = hosts.flatMap(({ name, holder }) => [
    `link add ${portOf(name)} type veth peer name eth0 netns ${String(holder.pid)}`,
    `link set ${portOf(name)} master ${BRIDGE} addrgenmode none`,
    `link set ${portOf(name)} up`,
  ]);
  // In the network namespace alone: in the machine's own processes, the numbers of the others' would mean nothing.
  const { code, stderr } = await run(
    ['nsenter', '--target', String(machine.holder.pid), '--net', '--', 'ip', '-batch', '-'],
    { input: textOf(ports), signal },
  );
  if (code !== 0) throw new LabError('failed', `the underlay could not be made: ${stderr.trim()}`);
  await Promise.all(
    hosts.map(async (host) => {
      const { ipv4, ipv6 } = host.place;
      await batch(
        host,
        [
          'link set eth0 up',
          `address add ${ipv4}/${String(UNDERLAY_PREFIX[4])} dev eth0`,
          // nodad: usable at once; on this wire nobody else has it.
          `address add ${ipv6}/${String(UNDERLAY_PREFIX[6])} dev eth0 nodad`,
        ],
        signal,
      );
    }),
  );
}

async function batch(host: NamespaceHost, lines: readonly string[], signal: AbortSignal): Promise<void> {
  await host.must(['ip', '-batch', '-'], { input: textOf(lines), signal });
}

const textOf = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
