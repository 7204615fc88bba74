import { describe, expect, it } from 'vitest';
import { parseIp } from '../../../core/address.js';
import { fold, type HostView } from '../../../core/fold.js';
import { parseEndpointId, parseHostId, parseNetworkId } from '../../../core/ids.js';
import { parseMac } from '../../../core/mac.js';
import type { Endpoint, Network } from '../../../core/model.js';
import { desiredState, type HostFacts } from '../../state/desired.js';
import { renderRows } from '../../tables/render.testing.js';
import { overlayDriver } from './overlay.js';

function certain<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a test's literal is wrong");
  return value;
}
const ip = (text: string) => certain(parseIp(text));
const H1 = certain(parseHostId('11111111-0000-4000-8000-000000000001'));
const H2 = certain(parseHostId('22222222-0000-4000-8000-000000000002'));
const NETWORK: Network = {
  id: certain(parseNetworkId('aaaaaaaa-bbbb-4000-8000-000000000001')),
  name: 'web',
  driver: 'overlay',
  vni: 77,
  subnets: [
    { cidr: '10.9.0.0/24' as never, gateway: ip('10.9.0.1'), ipRange: undefined, auxAddresses: {} },
    { cidr: 'fd00:9::/64' as never, gateway: ip('fd00:9::1'), ipRange: undefined, auxAddresses: {} },
  ],
  internal: false,
  mtu: undefined,
  labels: {},
  options: {},
  revision: 1n,
  requestId: 'r',
  createTimeMs: 0,
};
const endpoint = (id: string, hostId: typeof H1, last: string, sandbox: string): Endpoint => ({
  id: certain(parseEndpointId(`${id}-0000-4000-8000-000000000003`)),
  networkId: NETWORK.id,
  hostId,
  sandbox,
  name: sandbox,
  aliases: [],
  addresses: [ip(`10.9.0.${last}`), ip(`fd00:9::${last}`)],
  mac: certain(parseMac(`02:00:00:00:00:${last}`)),
  labels: {},
  state: 'pending',
  revision: 1n,
  requestId: 'r',
  createRevision: 1n,
  createTimeMs: 0,
});
const LOCAL = endpoint('cccccccc', H1, '11', 'a');
const REMOTE = endpoint('dddddddd', H2, '12', 'b');
const FACTS: HostFacts = { hostId: H1, name: 'h1', number: 258, vtep: ip('192.0.2.1'), underlayMtu: 1500 };

function viewOf(network: Network): HostView {
  return fold(new Map(), [
    {
      kind: 'snapshot',
      network,
      endpoints: [LOCAL, REMOTE],
      peers: [{ hostId: H2, vtep: ip('192.0.2.2'), number: 2 }],
    },
  ]);
}

function linesOf(network: Network): Record<string, string[]> {
  const sandboxes = [{ name: 'a', attachments: [{ endpointId: LOCAL.id, ifname: 'eth0' }] }];
  const desired = certain(desiredState(viewOf(network), sandboxes, FACTS).networks.get(network.id));
  const { namespaces } = overlayDriver.rows(desired, FACTS);
  return Object.fromEntries([...namespaces].map(([name, rows]) => [name, renderRows(rows)]));
}

describe('an overlay network on one host', () => {
  const lines = linesOf(NETWORK);

  it('is these commands in its namespace', () => {
    const network = certain(lines['weft-n-aaaaaaaabbbb']).filter((line) => !line.startsWith('sysctl'));
    expect(network.join('\n')).toBe(`\
ip link add weft0 address 02:57:46:00:01:02 mtu 1450 addrgenmode none type bridge stp_state 0 mcast_snooping 0
ip link add vxlan0 mtu 1450 master weft0 addrgenmode none type vxlan id 77 local 192.0.2.1 dstport 4789 nolearning
ip link add p-cccccccc0000 mtu 1450 master weft0 addrgenmode none type veth peer name eth0 netns weft-s-a address 02:00:00:00:00:11
bridge link set dev vxlan0 neigh_suppress on learning off flood off mcast_flood off bcast_flood off locked on
bridge link set dev p-cccccccc0000 neigh_suppress off learning off flood off mcast_flood off bcast_flood off locked on
ip neighbour replace 10.9.0.12 lladdr 02:00:00:00:00:12 dev weft0 nud permanent
ip neighbour replace fd00:9::12 lladdr 02:00:00:00:00:12 dev weft0 nud permanent
ip neighbour replace 10.9.0.11 lladdr 02:00:00:00:00:11 dev weft0 nud permanent
ip neighbour replace fd00:9::11 lladdr 02:00:00:00:00:11 dev weft0 nud permanent
bridge fdb replace 02:00:00:00:00:12 dev vxlan0 master static
bridge fdb replace 02:00:00:00:00:12 dev vxlan0 dst 192.0.2.2 self static
bridge fdb replace 02:00:00:00:00:11 dev p-cccccccc0000 master static
add table bridge weft
delete table bridge weft
table bridge weft {
  map local4 { type ipv4_addr : ether_addr; }
  map local6 { typeof @nh,384,128 : ether daddr; }
  chain local-resolution {
    type filter hook prerouting priority -300; policy accept;
    iifname "vxlan0" accept comment "weft local resolution 1"
    arp operation request ether daddr set arp daddr ip map @local4 comment "weft local resolution 1"
    icmpv6 type nd-neighbor-solicit ether daddr set @nh,384,128 map @local6 comment "weft local resolution 1"
  }
}
add element bridge weft local4 { 10.9.0.11 : 02:00:00:00:00:11 }
add element bridge weft local6 { 0xfd000009000000000000000000000011 : 02:00:00:00:00:11 }
ip address replace 10.9.0.1/24 dev weft0 proto 87 nodad
ip address replace fd00:9::1/64 dev weft0 proto 87 nodad`);
  });

  it('turns the bridge’s way through iptables off', () => {
    expect(lines['weft-n-aaaaaaaabbbb']).toContain('sysctl -w net.bridge.bridge-nf-call-iptables="0"');
  });

  it('is these commands in a sandbox', () => {
    expect(certain(lines['weft-s-a']).join('\n')).toBe(`\
ip link set eth0 address 02:00:00:00:00:11 mtu 1450 up
ip address replace 10.9.0.11/24 dev eth0 proto 87 nodad
ip address replace fd00:9::11/64 dev eth0 proto 87 nodad
ip route replace 0.0.0.0/0 via 10.9.0.1 dev eth0 proto 87
ip route replace ::/0 via fd00:9::1 dev eth0 proto 87`);
  });

  it('gives no default route when it is internal', () => {
    const internal = certain(linesOf({ ...NETWORK, internal: true })['weft-s-a']);
    expect(internal.filter((line) => line.startsWith('ip route'))).toEqual([]);
    expect(internal).toHaveLength(3);
  });
});
