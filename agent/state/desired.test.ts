import { describe, expect, it } from 'vitest';
import { routerMac, type Network } from '../../core/model.js';
import { hostId, sandboxesOf, testEndpoint, testNetwork, testPeer, viewOf } from './testing.js';
import { desiredState, largestMtu, type HostFacts } from './desired.js';

const FACTS: HostFacts = { hostId: hostId(1), name: 'h1', number: 1, vtep: testPeer(1).vtep, underlayMtu: 1500 };
const NETS = [testNetwork(1), testNetwork(2)];
const PEERS = [testPeer(1), testPeer(2)];
const A1 = testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' });
const A2 = testEndpoint({ network: 2, endpoint: 1, host: 1, sandbox: 'a' });
const B1 = testEndpoint({ network: 1, endpoint: 2, host: 2, sandbox: 'b' });

function desire(endpoints: readonly (typeof A1)[], facts = FACTS, networks = NETS) {
  return desiredState(viewOf(1, { networks, endpoints, peers: PEERS }), sandboxesOf(1, endpoints), facts);
}

describe('what a host should run', () => {
  it('is the networks that have a sandbox here, and no others', () => {
    const state = desire([A1, B1]);
    expect([...state.networks.keys()]).toEqual([A1.networkId]);
    expect(state.networks.get(A1.networkId)?.remotes).toEqual([
      { endpointId: B1.id, addresses: B1.addresses, mac: B1.mac, vtep: '192.0.2.2' },
    ]);
    expect(desiredState(viewOf(1, { networks: NETS, endpoints: [A1], peers: PEERS }), [], FACTS).networks.size).toBe(0);
  });

  it('leaves out what is being removed, here and elsewhere, and hosts whose tunnel address is unknown', () => {
    const removing = { state: 'removing' as const };
    expect(desire([{ ...A1, ...removing }, B1]).networks.size).toBe(0);
    expect(desire([A1, { ...B1, ...removing }]).networks.get(A1.networkId)?.remotes).toEqual([]);
    const stranger = testEndpoint({ network: 1, endpoint: 3, host: 9, sandbox: 'x' });
    expect(desire([A1, stranger]).networks.get(A1.networkId)?.remotes).toEqual([]);
  });

  it('says which hosts no tunnel leads to, because their tunnel address is of the other family', () => {
    const facts = { ...FACTS, vtep: '2001:db8::1' as never };
    const state = desire([A1, B1, testEndpoint({ network: 1, endpoint: 3, host: 2, sandbox: 'c' })], facts);
    expect(state.networks.get(A1.networkId)?.remotes).toEqual([]);
    expect(state.notices.map(({ object }) => object)).toEqual(['h1 network net1, tunnel to 192.0.2.2']);
  });

  it('leaves out an endpoint of another host that has the same sandbox name', () => {
    const other = testEndpoint({ network: 1, endpoint: 4, host: 2, sandbox: 'a' });
    expect(
      desire([A1, other])
        .networks.get(A1.networkId)
        ?.locals.map(({ endpoint }) => endpoint.id),
    ).toEqual([A1.id]);
  });

  it('gives a sandbox one default route to a family: by the first network that is not internal', () => {
    const gateways = (endpoints: readonly (typeof A1)[], networks = NETS) =>
      [...desire(endpoints, FACTS, networks).networks.values()].map(({ locals }) => locals[0]?.defaultGateways);
    expect(gateways([A1, A2])).toEqual([['10.1.0.1', 'fd00:1::1'], []]);
    expect(gateways([A1, A2], [testNetwork(1, { internal: true }), testNetwork(2)])).toEqual([
      [],
      ['10.2.0.1', 'fd00:2::1'],
    ]);
    const onlyV4 = { ...A1, addresses: A1.addresses.slice(0, 1) };
    expect(gateways([onlyV4, A2])).toEqual([['10.1.0.1'], ['fd00:2::1']]);
  });

  it('takes the MTU from the underlay and its family, and caps what does not fit', () => {
    expect(largestMtu({ vtep: testPeer(1).vtep, underlayMtu: 9000 })).toBe(8950);
    expect(largestMtu({ vtep: '2001:db8::1' as never, underlayMtu: 1500 })).toBe(1430);
    const mtus = (mtu: number | undefined) => {
      const state = desire([A1], FACTS, [testNetwork(1, { mtu })]);
      return [state.networks.get(A1.networkId)?.mtu, state.notices.map(({ object }) => object)];
    };
    expect(mtus(undefined)).toEqual([1450, []]);
    expect(mtus(1300)).toEqual([1300, []]);
    expect(mtus(1500)).toEqual([1450, ['h1 network net1, mtu']]);
  });

  it('tells a sandbox its name servers and addresses in the order of its networks', () => {
    expect(desire([A1, A2]).sandboxes.get('a')).toEqual({
      name: 'a',
      nameservers: ['10.1.0.1', 'fd00:1::1', '10.2.0.1', 'fd00:2::1'],
      addresses: [...A1.addresses, ...A2.addresses],
      search: [],
      resolverOptions: [],
    });
  });

  it('tells a sandbox the search domains and options of its networks, the first network’s where two differ', () => {
    const networks = [
      testNetwork(1, { options: { 'dns-search': 'a.example', 'dns-option': 'ndots:2,rotate' } }),
      testNetwork(2, { options: { 'dns-search': 'b.example,a.example', 'dns-option': 'ndots:1,timeout:3' } }),
    ];
    expect(desire([A1, A2], FACTS, networks).sandboxes.get('a')).toMatchObject({
      search: ['a.example', 'b.example'],
      resolverOptions: ['ndots:2', 'rotate', 'timeout:3'],
    });
  });

  it('leads from a subnet to its siblings by the own gateway, where no default route does', () => {
    const added = {
      cidr: '10.77.0.0/24' as never,
      gateway: '10.77.0.1' as never,
      ipRange: undefined,
      auxAddresses: {},
    };
    const grown = (internal: boolean) => testNetwork(1, { internal, subnets: [...testNetwork(1).subnets, added] });
    const siblings = (network: Network, endpoints: readonly (typeof A1)[]) =>
      desire(endpoints, FACTS, [network, testNetwork(2)])
        .networks.get(network.id)
        ?.locals.flatMap((local) => local.siblings);
    expect(siblings(grown(false), [A1])).toEqual([]);
    expect(siblings(grown(true), [A1])).toEqual([{ cidr: '10.77.0.0/24', gateway: '10.1.0.1' }]);
    expect(siblings(grown(false), [A2, A1])).toEqual([{ cidr: '10.77.0.0/24', gateway: '10.1.0.1' }]);
    expect(siblings(grown(true), [{ ...A1, addresses: A1.addresses.slice(1) }])).toEqual([]);
    expect(desire([A1, B1], FACTS, [grown(false)]).networks.get(A1.networkId)?.routers).toEqual([
      { mac: routerMac(2), vtep: '192.0.2.2' },
    ]);
    expect(desire([A1, B1]).networks.get(A1.networkId)?.routers).toEqual([]);
  });
});
