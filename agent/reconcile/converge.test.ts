/** Whatever fails, wherever and however often: the kernel ends up as wanted, and nothing more is asked of it then. */
import fc from 'fast-check';
import pino from 'pino';
import { describe, expect, it } from 'vitest';
import type { Cidr, IpAddress } from '../../core/address.js';
import type { Endpoint, Network } from '../../core/model.js';
import { overlayDriver } from '../drivers/overlay/overlay.js';
import type { HostFacts } from '../state/desired.js';
import { MemoryKernel, type Fault } from '../tables/memory-kernel.testing.js';
import { Reconciler, type Input } from './reconciler.js';
import { hostId, sandboxesOf, testEndpoint, testNetwork, testPeer, viewOf } from '../state/testing.js';

const FACTS: HostFacts = { hostId: hostId(1), name: 'h1', number: 1, vtep: testPeer(1).vtep, underlayMtu: 1500 };
const PEERS = [1, 2, 3].map(testPeer);

/** A state of the cluster: for each pair of network and endpoint, which host has it, in which sandbox, in which state. */
const stateArbitrary = fc.uniqueArray(
  fc.record({
    network: fc.integer({ min: 1, max: 3 }),
    endpoint: fc.integer({ min: 0, max: 8 }),
    host: fc.integer({ min: 1, max: 3 }),
    sandbox: fc.constantFrom('a', 'b', 'c'),
    state: fc.constantFrom('pending' as const, 'ready' as const, 'removing' as const),
  }),
  // Not one sandbox twice in a network, which the controller refuses.
  { selector: ({ network, endpoint }) => `${String(network)} ${String(endpoint)}`, maxLength: 14 },
);

/** What has become of the networks: their subnets' lengths, a subnet more, an MTU of their own. */
const shapeArbitrary = fc.record({
  grown: fc.boolean(),
  added: fc.boolean(),
  internal: fc.boolean(),
  mtu: fc.constantFrom(undefined, 1300),
});
type Shape = typeof shapeArbitrary extends fc.Arbitrary<infer T> ? T : never;
const PLAIN: Shape = { grown: false, added: false, internal: false, mtu: undefined };

function shaped(number: number, { grown, added, internal, mtu }: Shape): Network {
  const network = testNetwork(number, { internal, mtu });
  const [v4, v6] = network.subnets;
  if (v4 === undefined || v6 === undefined) throw new Error('a test network has two subnets');
  const n = String(number);
  const more = { ...v4, cidr: `10.10${n}.0.0/24` as Cidr, gateway: `10.10${n}.0.1` as IpAddress };
  const subnets = grown
    ? [
        { ...v4, cidr: `10.${n}.0.0/23` as Cidr },
        { ...v6, cidr: `fd00:${n}::/60` as Cidr },
      ]
    : [v4, v6];
  return { ...network, subnets: added ? [...subnets, more] : subnets };
}

function inputOf(numbers: readonly Parameters<typeof testEndpoint>[0][], shape = PLAIN): Input {
  const taken = new Set<string>();
  const endpoints: Endpoint[] = numbers.flatMap((options) => {
    const place = `${String(options.network)} ${String(options.host)} ${options.sandbox}`;
    if (taken.has(place)) return [];
    taken.add(place);
    return [testEndpoint(options)];
  });
  const networks = [1, 2, 3].map((number) => shaped(number, shape));
  return {
    known: {
      view: viewOf(1, { networks, endpoints, peers: PEERS }),
      revision: 1n,
      clusterId: 'c',
      epoch: 'e',
      session: 's',
      incarnation: 1,
      unreachable: new Set(),
    },
    facts: FACTS,
    sandboxes: sandboxesOf(1, endpoints),
  };
}

/** A reconciler on a kernel in memory; its input can be replaced. */
class Bench implements Disposable {
  input: Input = { known: undefined, facts: FACTS, sandboxes: [] };
  operations = 0;
  failAt: (operation: number) => boolean = () => false;
  readonly kernel: MemoryKernel;
  reconciler: Reconciler;

  constructor() {
    const fault: Fault = (operation) => {
      this.operations++;
      return this.failAt(this.operations) ? new Error(`injected: ${operation}`) : undefined;
    };
    this.kernel = new MemoryKernel(fault);
    this.reconciler = this.#make();
  }

  #make(): Reconciler {
    return new Reconciler({
      kernel: this.kernel,
      drivers: [overlayDriver],
      input: () => this.input,
      log: pino({ level: 'silent' }),
    });
  }

  restart(): void {
    this.reconciler[Symbol.dispose]();
    this.reconciler = this.#make();
  }

  [Symbol.dispose](): void {
    this.reconciler[Symbol.dispose]();
  }
}

/** What a kernel that never failed holds. */
function contentsOf(input: Input): unknown {
  using bench = new Bench();
  bench.input = input;
  bench.reconciler.pass();
  return bench.kernel.contents();
}

describe('converging', () => {
  it('reaches every state from every other, and then asks for nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(stateArbitrary, shapeArbitrary), { minLength: 2, maxLength: 3 }), (states) => {
        using bench = new Bench();
        for (const [state, shape] of states) {
          bench.input = inputOf(state, shape);
          bench.reconciler.pass();
          expect(bench.reconciler.settled.value.problems).toEqual([]);
          expect(bench.kernel.contents()).toEqual(contentsOf(bench.input));
        }
        bench.restart();
        expect(bench.reconciler.pass()).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it('gets there although any operations fail, and says so meanwhile', () => {
    fc.assert(
      fc.property(
        fc.tuple(stateArbitrary, shapeArbitrary),
        fc.tuple(stateArbitrary, shapeArbitrary),
        fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 25 }),
        (first, second, failures) => {
          using bench = new Bench();
          const failing = new Set(failures);
          bench.failAt = (operation) => failing.has(operation);
          for (const [state, shape] of [first, second]) {
            bench.input = inputOf(state, shape);
            let passes = 0;
            do {
              bench.reconciler.pass();
              passes++;
            } while (bench.reconciler.settled.value.problems.length > 0 && passes <= failures.length + 1);
            expect(bench.reconciler.settled.value.problems).toEqual([]);
            expect(bench.kernel.contents()).toEqual(contentsOf(bench.input));
          }
        },
      ),
      { numRuns: 80 },
    );
  });

  it('gets there from a crash after any operation', () => {
    const first = inputOf([
      { network: 1, endpoint: 1, host: 1, sandbox: 'a' },
      { network: 1, endpoint: 2, host: 2, sandbox: 'b' },
      { network: 2, endpoint: 1, host: 1, sandbox: 'a' },
    ]);
    const second = inputOf([
      { network: 1, endpoint: 1, host: 1, sandbox: 'a', state: 'removing' },
      { network: 1, endpoint: 2, host: 2, sandbox: 'b' },
      { network: 2, endpoint: 3, host: 1, sandbox: 'c' },
    ]);
    const wanted = [first, second].map(contentsOf);
    for (let crashAt = 1; ; crashAt++) {
      using bench = new Bench();
      // Everything fails from there on: nobody is alive to ask for more.
      bench.failAt = (operation) => operation >= crashAt;
      for (const input of [first, second]) {
        bench.input = input;
        bench.reconciler.pass();
      }
      const survived = bench.operations < crashAt;
      bench.failAt = () => false;
      bench.restart();
      bench.input = first;
      bench.reconciler.pass();
      expect(bench.kernel.contents()).toEqual(wanted[0]);
      bench.input = second;
      bench.reconciler.pass();
      expect(bench.kernel.contents()).toEqual(wanted[1]);
      if (survived) break;
      expect(crashAt).toBeLessThan(2000);
    }
  });

  it('holds back one endpoint, not its siblings, and tells which', () => {
    using bench = new Bench();
    bench.input = inputOf([
      { network: 1, endpoint: 1, host: 1, sandbox: 'a' },
      { network: 1, endpoint: 2, host: 1, sandbox: 'b' },
    ]);
    const [a, b] = [
      testEndpoint({ network: 1, endpoint: 1, host: 1, sandbox: 'a' }),
      testEndpoint({ network: 1, endpoint: 2, host: 1, sandbox: 'b' }),
    ];
    const kernel = new MemoryKernel((operation) =>
      operation.includes('links put p-000001020003') ? new Error('no buffer space') : undefined,
    );
    using reconciler = new Reconciler({
      kernel,
      drivers: [overlayDriver],
      input: () => bench.input,
      log: pino({ level: 'silent' }),
    });
    reconciler.pass();
    const { attached, failed, problems } = reconciler.settled.value;
    expect([...attached]).toEqual([a.id]);
    expect([...failed]).toEqual([[b.id, 'no buffer space']]);
    expect(problems[0]).toEqual({ object: 'h1 network net1, links p-000001020003', message: 'no buffer space' });
  });
});
