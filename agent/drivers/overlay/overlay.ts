/**
 * Overlay networks: on each host a namespace with a bridge and a VXLAN device, and a veth pair to each sandbox. Nothing
 * is flooded and nothing learned: every way there is, is an entry. docs/design/dataplane.md has the picture and reasons.
 *
 * Per network and host: a bridge, a VXLAN device, a gateway address for each subnet. Per remote endpoint: a neighbour
 * for each address, two forwarding entries. Per local endpoint: the same but one forwarding entry, its veth pair, and an
 * entry in the map of local addresses. Per other host, where there are subnets to route between: two forwarding entries.
 */
import { familyOf, makeCidr, prefixLengthOf, type IpAddress } from '../../../core/address.js';
import type { Mac } from '../../../core/mac.js';
import { routerMac } from '../../../core/model.js';
import type { DesiredNetwork, HostFacts, LocalEndpoint, RemoteEndpoint, RemoteRouter } from '../../state/desired.js';
import { RULES_KEY, RULES_VALUE } from '../../tables/local-resolution.js';
import { BRIDGE, networkNamespace, portName, sandboxNamespace, VXLAN } from '../../tables/namespace-names.js';
import { keyOf, type AddressRow, type FdbRow, type RouteRow, type RowsDraft } from '../../tables/rows.js';
import { RowsBuilder, type NetworkDriver, type NetworkRows, type RowRef } from '../driver.js';
import { NETWORK_SYSCTLS } from './sysctls.js';

/** The UDP port of VXLAN, by its standard. */
const VXLAN_PORT = 4789;

/** Closed in every direction: no learning, no floods, and `locked` drops what comes from a MAC without an entry (nolearning alone lets it through). */
const CLOSED = { learning: false, flood: false, mcastFlood: false, bcastFlood: false, locked: true } as const;
/** The bridge answers ARP and neighbour solicitations for what lies behind this port. A port that has it is itself never answered. */
const VXLAN_PORT_FLAGS = { ...CLOSED, neighSuppress: true } as const;
const SANDBOX_PORT_FLAGS = { ...CLOSED, neighSuppress: false } as const;

export const overlayDriver: NetworkDriver = {
  name: 'overlay',
  rows: (network, facts): NetworkRows => {
    const builder = new RowsBuilder();
    const namespace = networkNamespace(network.network.id);
    const rows = builder.in(namespace);
    const base = putSegment(rows, namespace, network, facts);
    for (const remote of network.remotes) putRemote(rows, remote);
    for (const router of network.routers) putRouter(rows, router);
    const needs = new Map(
      network.locals.map((local) => [
        local.endpoint.id,
        [...base, ...putLocal({ builder, rows, namespace, mtu: network.mtu, local })],
      ]),
    );
    return { namespaces: builder.namespaces, needs };
  },
};

/** The network itself: bridge, VXLAN device, gateways. */
function putSegment(
  rows: RowsDraft,
  namespace: string,
  { network, mtu }: DesiredNetwork,
  facts: HostFacts,
): readonly RowRef[] {
  for (const [path, value] of NETWORK_SYSCTLS) rows.sysctls.set(path, value);
  rows.links.set(BRIDGE, { kind: 'bridge', mac: routerMac(facts.number), mtu });
  rows.links.set(VXLAN, {
    kind: 'vxlan',
    vni: network.vni,
    local: facts.vtep,
    port: VXLAN_PORT,
    master: BRIDGE,
    mtu,
  });
  rows.ports.set(VXLAN, VXLAN_PORT_FLAGS);
  rows.resolution.set(RULES_KEY, RULES_VALUE);
  for (const { cidr, gateway } of network.subnets) {
    const row: AddressRow = { dev: BRIDGE, ip: gateway, prefixLength: prefixLengthOf(cidr) };
    rows.addresses.set(keyOf.address(row), row);
  }
  return [
    { namespace, table: 'links', key: BRIDGE },
    { namespace, table: 'links', key: VXLAN },
    { namespace, table: 'ports', key: VXLAN },
    { namespace, table: 'resolution', key: RULES_KEY },
  ];
}

function putRemote(rows: RowsDraft, { addresses, mac, vtep }: RemoteEndpoint): void {
  putNeighbours(rows, addresses, mac);
  putFdb(rows, { table: 'master', dev: VXLAN, mac });
  putFdb(rows, { table: 'self', dev: VXLAN, mac, dst: vtep });
}

/** What a gateway elsewhere has routed comes from its own MAC, which `locked` would refuse. */
function putRouter(rows: RowsDraft, { mac, vtep }: RemoteRouter): void {
  putFdb(rows, { table: 'master', dev: VXLAN, mac });
  putFdb(rows, { table: 'self', dev: VXLAN, mac, dst: vtep });
}

interface LocalParts {
  readonly builder: RowsBuilder;
  readonly rows: RowsDraft;
  readonly namespace: string;
  readonly mtu: number;
  readonly local: LocalEndpoint;
}

/** A sandbox's join: the port and its entries here, the interface with its addresses and routes there. */
function putLocal({ builder, rows, namespace, mtu, local }: LocalParts): readonly RowRef[] {
  const { endpoint, ifname, addresses, defaultGateways, siblings } = local;
  const { mac } = endpoint;
  const port = portName(endpoint.id);
  const sandbox = sandboxNamespace(endpoint.sandbox);
  rows.links.set(port, { kind: 'port', master: BRIDGE, mtu, peer: { netns: sandbox, name: ifname, mac } });
  rows.ports.set(port, SANDBOX_PORT_FLAGS);
  const fdb: FdbRow = { table: 'master', dev: port, mac };
  putFdb(rows, fdb);
  // So that the gateway reaches it: the kernel's own solicitation would be flooded, which the ports refuse.
  putNeighbours(
    rows,
    addresses.map(({ ip }) => ip),
    mac,
  );
  for (const { ip } of addresses) rows.resolution.set(ip, mac);
  const there = builder.in(sandbox);
  there.links.set(ifname, { kind: 'peer', mac, mtu });
  const addressRows = addresses.map((address): AddressRow => ({ dev: ifname, ...address }));
  for (const row of addressRows) there.addresses.set(keyOf.address(row), row);
  const routeRows = [
    ...defaultGateways.map((gateway): RouteRow => ({ dst: makeCidr(familyOf(gateway), 0n, 0), gateway, dev: ifname })),
    ...siblings.map(({ cidr, gateway }): RouteRow => ({ dst: cidr, gateway, dev: ifname })),
  ];
  for (const row of routeRows) there.routes.set(keyOf.route(row), row);
  return [
    { namespace, table: 'links', key: port },
    { namespace, table: 'ports', key: port },
    { namespace, table: 'fdb', key: keyOf.fdb(fdb) },
    ...addresses.map(({ ip }): RowRef => ({ namespace, table: 'resolution', key: ip })),
    { namespace: sandbox, table: 'links', key: ifname },
    ...addressRows.map((row): RowRef => ({ namespace: sandbox, table: 'addresses', key: keyOf.address(row) })),
    ...routeRows.map((row): RowRef => ({ namespace: sandbox, table: 'routes', key: keyOf.route(row) })),
  ];
}

function putNeighbours(rows: RowsDraft, addresses: readonly IpAddress[], mac: Mac): void {
  for (const ip of addresses) rows.neighbours.set(keyOf.neighbour({ dev: BRIDGE, ip }), { dev: BRIDGE, ip, mac });
}

function putFdb(rows: RowsDraft, row: FdbRow): void {
  rows.fdb.set(keyOf.fdb(row), row);
}
