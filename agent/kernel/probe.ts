/**
 * What the running kernel and this process can do, found by doing it in a namespace made for that. Debian's kernels
 * load modules when first asked, so nothing else would tell.
 */
import { readFileSync } from 'node:fs';
import { ipFromNumber } from '../../core/address.js';
import { randomMac } from '../../core/mac.js';
import { KernelError } from './kernel-error.js';
import { inScratchNetns } from './namespace.js';
import { bridgePortSet } from './netlink/bridge-port.js';
import { NetlinkHandle } from './netlink/handle.js';
import { bridgeAdd, vethAdd, vxlanAdd } from './netlink/link.js';
import { Nftables } from './nftables.js';

/** capability(7) numbers. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;
/** 192.0.2.1, of the documentation range; nothing is ever sent to it. */
const LOCAL = ipFromNumber(4, 0xc0000201n);

/** Something the host lacks, in a plain sentence that says what to do. */
export interface MissingFeature {
  readonly feature: 'root' | 'netns' | 'veth' | 'bridge' | 'vxlan' | 'neigh_suppress' | 'locked' | 'nft-bridge';
  readonly message: string;
}

/** What is missing for an overlay network; empty when all is there. Changes nothing outside a namespace that ends with this call. */
export function probe(): MissingFeature[] {
  const root = missingCapabilities();
  if (root.length > 0) {
    return [{ feature: 'root', message: `this process lacks ${root.join(' and ')}: run it as root` }];
  }
  try {
    return inScratchNetns(probeInside);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const hint = error.code === 'ENOSPC' ? ': raise user.max_net_namespaces' : ' (CONFIG_NET_NS)';
    return [{ feature: 'netns', message: `this kernel makes no network namespace${hint} (${error.message})` }];
  }
}

function probeInside(): MissingFeature[] {
  using handle = NetlinkHandle.open();
  const missing: MissingFeature[] = [];
  const lacks = (feature: MissingFeature['feature'], message: string): void => {
    missing.push({ feature, message });
  };
  /** Does it, and says whether it worked. */
  const works = (feature: MissingFeature['feature'], sentence: string, attempt: () => void): boolean => {
    try {
      attempt();
      return true;
    } catch (error) {
      lacks(feature, `${sentence} (${error instanceof Error ? error.message : String(error)})`);
      return false;
    }
  };
  works('veth', 'this kernel has no veth pairs (CONFIG_VETH): sandboxes cannot be connected', () => {
    handle.do(vethAdd({ name: 'probe-a', peer: { name: 'probe-b' } }));
  });
  const bridge = works('bridge', 'this kernel has no bridges (CONFIG_BRIDGE): networks cannot be made', () => {
    handle.do(bridgeAdd({ name: 'probe-bridge', mac: randomMac() }));
  });
  const vxlan = works('vxlan', 'this kernel has no VXLAN (CONFIG_VXLAN): overlay networks cannot be made', () => {
    handle.do(
      vxlanAdd({ name: 'probe-vxlan', vni: 1, local: LOCAL, port: 4789, master: handle.link('probe-bridge')?.index }),
    );
  });
  if (bridge && vxlan) {
    const port = portFlags(handle);
    if (!port.neighSuppress) {
      lacks('neigh_suppress', 'this kernel cannot answer ARP from a bridge (neigh_suppress, Linux 4.15): update it');
    }
    if (!port.locked) {
      lacks('locked', 'this kernel cannot lock bridge ports (locked, Linux 5.18): update it to 6.1 or later');
    }
  }
  works('nft-bridge', 'this kernel or nftables cannot filter bridges (CONFIG_NF_TABLES_BRIDGE)', probeNft);
  return missing;
}

/** Sets the two flags one by one and reads back what took: kernels ignore a flag they do not know, without an error. */
function portFlags(handle: NetlinkHandle): { neighSuppress: boolean; locked: boolean } {
  const index = handle.link('probe-vxlan')?.index ?? 0;
  // The results say less than reading back does.
  handle.request([bridgePortSet(index, { neighSuppress: true }), bridgePortSet(index, { locked: true })]);
  const port = handle.link('probe-vxlan')?.port;
  return { neighSuppress: port?.neighSuppress === true, locked: port?.locked === true };
}

/** The rules that answer ARP and neighbour solicitation between sandboxes of one host. */
function probeNft(): void {
  using nftables = Nftables.open();
  nftables.runText(
    [
      'table bridge probe {',
      ' map l4 { type ipv4_addr : ether_addr; }',
      ' map l6 { typeof @nh,384,128 : ether daddr; }',
      ' chain pre { type filter hook prerouting priority -300; policy accept;',
      '  arp operation request ether daddr set arp daddr ip map @l4',
      '  icmpv6 type nd-neighbor-solicit ether daddr set @nh,384,128 map @l6',
      ' }',
      '}',
    ].join('\n'),
  );
}

function missingCapabilities(): string[] {
  const status = readFileSync('/proc/thread-self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(CAPABILITIES)
    .filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n)
    .map(([name]) => name);
}
