import { describe, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';
import { newEndpointId, newHostId, newNetworkId, type HostId, type NetworkId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import { PRESENT, type Endpoint, type Host, type HostAbsence, type Network } from '../../core/model.js';
import { ClusterView, type Edit } from '../cache/view.js';
import { deltasOf, thingsOf } from './span.js';

const network: Network = {
  ...{ id: newNetworkId(), name: 'web', driver: 'overlay', vni: 1, subnets: [], internal: false, mtu: undefined },
  ...{ labels: {}, options: {}, revision: 1n, requestId: '', createTimeMs: 0 },
};
const host = (number: number): Host => {
  const vtep = parseIp(`192.0.2.${String(number)}`);
  if (vtep === undefined) throw new RangeError('no address');
  const more = { version: '', prefixes: [], declaredEpoch: '', ...PRESENT, revision: 1n };
  return { id: newHostId(), name: `h${String(number)}`, vtep, number, ...more };
};
const endpoint = (of: NetworkId, on: HostId): Endpoint => ({
  ...{ id: newEndpointId(), networkId: of, hostId: on, sandbox: 'a', name: 'a', aliases: [], addresses: [] },
  ...{ mac: randomMac(), labels: {}, state: 'ready', revision: 1n, requestId: '' },
  ...{ createRevision: 1n, createTimeMs: 0 },
});
const putHost = (value: Host): Edit => ({ kind: 'put', object: { kind: 'host', value } });
const putEndpoint = (value: Endpoint): Edit => ({ kind: 'put', object: { kind: 'endpoint', value } });
const dropEndpoint = ({ id, networkId }: Endpoint): Edit => ({ kind: 'drop', of: 'endpoint', networkId, id });

const [h1, h2] = [host(1), host(2)];
const [one, two] = [endpoint(network.id, h1.id), endpoint(network.id, h2.id)];
const become = (absence: HostAbsence): Edit => putHost({ ...h2, absence });

function cluster() {
  const view = new ClusterView();
  let revision = 0n;
  const apply = (...edits: readonly Edit[]) => deltasOf(view, view.apply((revision += 1n), edits));
  apply({ kind: 'put', object: { kind: 'network', value: network } }, putHost(h1), putHost(h2));
  apply(putEndpoint(one), putEndpoint(two));
  const shown = () => {
    const { endpoints, peers } = thingsOf(view, network.id);
    return [[...endpoints.keys()], [...peers.keys()]];
  };
  return { apply, shown };
}

describe('a host that is fenced', () => {
  it('goes from the sight of its peers with all that it has, in one change', () => {
    const { apply, shown } = cluster();
    expect(apply(become('lost'))).toEqual([]);
    const [delta, ...more] = apply(become('fenced'));
    expect(more).toEqual([]);
    expect(delta).toMatchObject({ putEndpoints: [], dropEndpoints: [two.id], putPeers: [], dropPeers: [h2.id] });
    expect([...(delta?.stayed ?? [])]).toEqual([h1.id]);
    expect(shown()).toEqual([[one.id], [h1.id]]);
  });

  it('is nothing to its peers while it is collected, whatever changes about it', () => {
    const { apply, shown } = cluster();
    apply(become('fenced'));
    expect(apply(putHost({ ...h2, absence: 'fenced', version: '2' }))).toEqual([]);
    const changed = apply(putEndpoint({ ...two, state: 'removing' }));
    expect(changed.flatMap(({ putEndpoints, dropEndpoints }) => [...putEndpoints, ...dropEndpoints])).toEqual([]);
    const gone = apply(dropEndpoint(two));
    expect(gone.flatMap(({ dropEndpoints, dropPeers }) => [...dropEndpoints, ...dropPeers])).toEqual([]);
    expect(apply(become('none'))).toEqual([]);
    expect(shown()).toEqual([[one.id], [h1.id]]);
  });

  it('shows what it has when it is readmitted', () => {
    const { apply, shown } = cluster();
    apply(become('fenced'));
    const [delta] = apply(become('none'));
    expect(delta).toMatchObject({ putEndpoints: [two], dropEndpoints: [], dropPeers: [] });
    expect([...(delta?.joined ?? [])]).toEqual([h2.id]);
    expect(delta?.putPeers.map(({ hostId }) => hostId)).toEqual([h2.id]);
    expect(shown()).toEqual([
      [one.id, two.id],
      [h1.id, h2.id],
    ]);
  });

  it('is gone once, where all of it is found at once', () => {
    const { apply } = cluster();
    const [delta] = apply(become('fenced'), dropEndpoint(two));
    expect(delta).toMatchObject({ dropEndpoints: [two.id], dropPeers: [h2.id] });
    expect(apply(become('none'), putEndpoint(two))).toMatchObject([{ putEndpoints: [two] }]);
  });
});
