/** The reconciler against the real kernel: hosts in namespaces, no controller. */
import { describe, expect, it } from 'vitest';
import { listIn, runIn } from '../kernel/testing.js';
import { TestLab } from './lab.testing.js';
import { testEndpoint, testNetwork } from '../state/testing.js';

const NETWORK = testNetwork(1);
const A = testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' });
const B = testEndpoint({ network: 1, endpoint: 2, host: 2, sandbox: 'b' });
const C = testEndpoint({ network: 1, endpoint: 3, host: 1, sandbox: 'c' });

/** One packet, at once: the first must not be lost. */
function ping(netns: string, address: string, count = 1): string {
  return runIn(netns, ['ping', '-c', String(count), '-i', '0.1', '-W', '1', '-q', address]);
}

describe('an overlay network on real hosts', () => {
  for (const underlay of [4, 6] as const) {
    it(`carries IPv4 and IPv6 across hosts and within one, over IPv${String(underlay)}, from the first packet`, () => {
      using lab = new TestLab(2, underlay);
      lab.settle([NETWORK], [A, B, C]);
      for (const host of lab.hosts.values()) expect(host.reconciler.settled.value.problems).toEqual([]);
      const a = lab.host(1).sandbox('a');
      for (const target of ['10.1.0.12', 'fd00:1::12', '10.1.0.13', 'fd00:1::13', '10.1.0.1', 'fd00:1::1']) {
        expect(ping(a, target)).toContain(' 0% packet loss');
      }
      const mtu = 1500 - (underlay === 4 ? 50 : 70);
      runIn(a, ['ping', '-c1', '-W1', '-M', 'do', '-s', String(mtu - 28), '10.1.0.12']);
      expect(() => runIn(a, ['ping', '-c1', '-W1', '-M', 'do', '-s', String(mtu - 27), '10.1.0.12'])).toThrow();
      expect([...lab.host(1).reconciler.settled.value.attached].sort()).toEqual([A.id, C.id].sort());
    });
  }

  it('is found again after a restart, with nothing to do', () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B, C]);
    const host = lab.host(1);
    expect(host.reconciler.pass()).toBe(0);
    host.restart();
    expect(host.reconciler.pass()).toBe(0);
    expect(host.reconciler.settled.value.problems).toEqual([]);
    expect([...host.reconciler.settled.value.attached].sort()).toEqual([A.id, C.id].sort());
    ping(host.sandbox('a'), '10.1.0.12');
  });

  it('deletes nothing before it knows what is wanted', () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B, C]);
    const host = lab.host(1);
    host.restart();
    host.view = undefined;
    host.sandboxes = [];
    expect(host.reconciler.pass()).toBe(0);
    expect(host.namespaces()).toHaveLength(3);
  });

  it('goes without a trace, and its VNI is free at once', () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B, C]);
    const host = lab.host(1);
    const removing = { ...A, state: 'removing' as const };
    host.tell([NETWORK], [removing, B, { ...C, state: 'removing' }]);
    host.reconciler.pass();
    expect([...host.reconciler.settled.value.removed].sort()).toEqual([A.id, C.id].sort());
    expect(host.namespaces()).toEqual(['weft-s-a', 'weft-s-c']);
    expect(listIn(host.sandbox('a'), ['ip', '-j', 'link']).map((link) => link['ifname'])).toEqual(['lo']);
    const other = testNetwork(2, { vni: NETWORK.vni });
    const again = testEndpoint({ network: 2, endpoint: 1, host: 1, sandbox: 'a' });
    host.tell([other], [again]);
    host.reconciler.pass();
    expect(host.reconciler.settled.value.problems).toEqual([]);
    host.tell([], []);
    host.sandboxes = [];
    host.reconciler.pass();
    expect(host.namespaces()).toEqual([]);
  });

  it('leaves one of two networks of a sandbox, and the other takes over the default route', () => {
    using lab = new TestLab(2);
    const second = testNetwork(2);
    const A2 = testEndpoint({ network: 2, endpoint: 1, host: 1, sandbox: 'a' });
    const B2 = testEndpoint({ network: 2, endpoint: 2, host: 2, sandbox: 'b' });
    lab.settle([NETWORK, second], [A, B, A2, B2]);
    const a = lab.host(1).sandbox('a');
    ping(a, '10.1.0.12');
    ping(a, 'fd00:2::12');
    const defaults = () => listIn(a, ['ip', '-j', 'route', 'show', 'default']).map((route) => route['gateway']);
    expect(defaults()).toEqual(['10.1.0.1']);
    lab.host(1).sandboxes = [{ name: 'a', attachments: [{ endpointId: A2.id, ifname: 'eth1' }] }];
    lab.host(1).reconciler.pass();
    expect(lab.host(1).reconciler.settled.value.problems).toEqual([]);
    expect(defaults()).toEqual(['10.2.0.1']);
    ping(a, '10.2.0.12');
    expect(listIn(a, ['ip', '-j', 'link']).map((link) => link['ifname'])).toEqual(['lo', 'eth1']);
  });

  it('passes an interface’s name from one endpoint to the next in one go', () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B]);
    const next = testEndpoint({ network: 1, endpoint: 7, host: 1, sandbox: 'a' });
    lab.settle([NETWORK], [next, B]);
    expect(lab.host(1).reconciler.settled.value.problems).toEqual([]);
    expect([...lab.host(1).reconciler.settled.value.attached]).toEqual([next.id]);
    ping(lab.host(1).sandbox('a'), '10.1.0.12');
    ping(lab.host(2).sandbox('b'), 'fd00:1::17');
  });

  it('repairs what somebody took away, and takes away what nobody wanted', () => {
    using lab = new TestLab(2);
    lab.settle([NETWORK], [A, B, C]);
    const host = lab.host(1);
    const inNetwork = `${host.directory}/weft-n-000000010002`;
    runIn(inNetwork, ['bridge', 'fdb', 'del', B.mac, 'dev', 'vxlan0', 'master']);
    runIn(inNetwork, ['ip', 'neighbour', 'del', '10.1.0.12', 'dev', 'weft0']);
    runIn(inNetwork, ['ip', 'neighbour', 'add', '10.1.0.99', 'lladdr', '02:00:00:00:00:99', 'dev', 'weft0']);
    runIn(inNetwork, ['bridge', 'link', 'set', 'dev', 'vxlan0', 'flood', 'on']);
    runIn(inNetwork, ['nft', 'flush', 'ruleset']);
    runIn(inNetwork, ['ip', 'link', 'add', 'stray', 'type', 'bridge']);
    runIn(host.sandbox('c'), ['ip', 'link', 'set', 'eth0', 'down']);
    runIn(host.sandbox('c'), ['ip', 'address', 'add', '10.1.0.200/24', 'dev', 'eth0']);
    host.reconciler.audit();
    expect(host.reconciler.pass()).toBeGreaterThan(0);
    host.reconciler.audit();
    expect(host.reconciler.pass()).toBe(0);
    expect(host.reconciler.settled.value.problems).toEqual([]);
    for (const target of ['10.1.0.12', '10.1.0.13', 'fd00:1::13']) ping(host.sandbox('a'), target);
    expect(runIn(host.sandbox('c'), ['ip', 'address'])).toContain('10.1.0.200');
  });
});
