/** A sandbox on a VXLAN network as an expert builds it with `ip`: the peer of throughput. */
import type { NamespaceHost } from '../../e2e/lab/namespace-host.js';

/** Makes the namespaces `hand-net` and `hand-box` on the host. The network is point to point: one remote host. */
export async function buildByHand(
  host: NamespaceHost,
  { local, remote, address }: { readonly local: string; readonly remote: string; readonly address: string },
): Promise<void> {
  const batch = `
    netns add hand-net
    netns add hand-box
    link add name vxlan0 netns hand-net type vxlan id 99 local ${local} remote ${remote} dstport 4789`;
  await host.must(['ip', '-batch', '-'], { input: batch });
  // What an expert turns off too: bridged frames through iptables cost a tenth of the throughput.
  const sysctls = ['iptables', 'ip6tables', 'arptables'].map((table) => `net.bridge.bridge-nf-call-${table}=0`);
  await host.must(['ip', 'netns', 'exec', 'hand-net', 'sysctl', '-q', '-w', ...sysctls]);
  const network = `
    link add name bridge0 type bridge
    link set vxlan0 master bridge0 mtu 1450 up
    link add name port0 mtu 1450 type veth peer name eth0 mtu 1450 netns hand-box
    link set port0 master bridge0 up
    link set bridge0 up`;
  await host.must(['ip', '-n', 'hand-net', '-batch', '-'], { input: network });
  await host.must(['ip', '-n', 'hand-box', '-batch', '-'], {
    input: `address add ${address} dev eth0\nlink set eth0 up`,
  });
}
