/** Settings of a network's namespace. */

export const NETWORK_SYSCTLS: ReadonlyMap<string, string> = new Map([
  // 1 in a new namespace: the bridge's frames would go through iptables, for up to a quarter of small-packet throughput.
  ['bridge/bridge-nf-call-iptables', '0'],
  ['bridge/bridge-nf-call-ip6tables', '0'],
  ['bridge/bridge-nf-call-arptables', '0'],
  // The gateway routes between the network's own subnets. No link leads out of the namespace but the VXLAN device.
  ['ipv4/ip_forward', '1'],
  ['ipv6/conf/all/forwarding', '1'],
  // A packet may come in by the gateway and go out the same way: neither an error nor a hint worth sending.
  ['ipv4/conf/all/rp_filter', '0'],
  ['ipv4/conf/default/rp_filter', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/default/send_redirects', '0'],
  // Addresses are the cluster's to give, so there is nothing to detect and nothing to generate.
  ['ipv6/conf/default/accept_dad', '0'],
  ['ipv6/conf/default/addr_gen_mode', '1'],
]);
