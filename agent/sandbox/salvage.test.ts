import { describe, expect, it } from 'vitest';
import { hostId, testEndpoint, testNetwork, testPeer, viewOf } from '../state/testing.js';
import { salvage } from './salvage.js';

const A1 = { ...testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' }), revision: 9n };
const A2 = { ...testEndpoint({ network: 2, endpoint: 1, host: 1, sandbox: 'a' }), revision: 4n };
const OTHERS = [
  testEndpoint({ network: 1, endpoint: 2, host: 1, sandbox: 'b' }),
  testEndpoint({ network: 1, endpoint: 3, host: 2, sandbox: 'a' }),
  testEndpoint({ network: 2, endpoint: 4, host: 1, sandbox: 'a', state: 'removing' }),
];

describe('a sandbox whose record cannot be read', () => {
  const view = viewOf(1, {
    networks: [testNetwork(1), testNetwork(2)],
    endpoints: [A1, A2, ...OTHERS],
    peers: [testPeer(1), testPeer(2)],
  });

  it('has the endpoints that it has in the cluster, the one that changed last at the end', () => {
    const attachments = [
      { endpointId: A2.id, ifname: 'eth0' },
      { endpointId: A1.id, ifname: 'eth1' },
    ];
    expect(salvage(['a', 'c'], view, hostId(1))).toEqual([
      { name: 'a', attachments },
      { name: 'c', attachments: [] },
    ]);
  });

  it('is there also before anything is known', () => {
    expect(salvage(['a'], new Map(), hostId(1))).toEqual([{ name: 'a', attachments: [] }]);
  });
});
