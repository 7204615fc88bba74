import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { overlaps } from '../../core/address.js';
import { WeftError, type Reason } from '../../core/errors.js';
import type { Host, Network } from '../../core/model.js';
import type { View } from '../cache/view.js';
import { MemoryStore } from '../store/memory.js';
import { openBrain, type Brain } from '../testing.js';
import { objectionTo } from './address-pool.js';
import { Operator, readPools, wish } from './network.testing.js';

/** Subnets that contain, touch and miss one another, in and beside the pool. */
const SHAPES = [
  ...[['10.1.0.0/28'], ['10.1.0.0/27'], ['10.1.0.0/26'], ['10.1.0.16/28'], ['10.1.0.32/27'], ['10.1.0.0/29']],
  ...[['10.1.0.0/28', 'fd01::/64'], ['fd01::/64'], ['10.1.0.0/29', '10.1.0.16/29'], ['10.1.0.8/29', '10.1.0.32/28']],
] as const;

type Step =
  | { readonly kind: 'create'; readonly shape: number | undefined }
  | { readonly kind: 'update'; readonly network: number; readonly shape: number }
  | { readonly kind: 'label'; readonly network: number; readonly value: string }
  | { readonly kind: 'attach'; readonly network: number; readonly sandbox: number }
  | { readonly kind: 'detach'; readonly nth: number }
  | { readonly kind: 'remove'; readonly network: number };

const network = fc.nat(5);
const shape = fc.nat(SHAPES.length - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('create' as const), shape: fc.option(shape, { nil: undefined }) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('update' as const), network, shape }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('label' as const), network, value: fc.constantFrom('a', 'b') }),
  },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('attach' as const), network, sandbox: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('detach' as const), nth: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), network }) },
);

/** Everything that these steps may be refused with; CONTENTION, say, is not among them. */
const EXPECTED: ReadonlySet<Reason> = new Set<Reason>([
  ...(['NETWORK_NOT_FOUND', 'NETWORK_IN_USE', 'ALREADY_CONNECTED', 'SUBNETS_OVERLAP', 'ADDRESSES_EXHAUSTED'] as const),
  ...(['SUBNETS_EXHAUSTED', 'ADDRESSES_HELD', 'FIELD_IMMUTABLE', 'ARGUMENT_INVALID', 'ENDPOINT_NOT_FOUND'] as const),
]);

describe('networks that are made and changed by two controllers at once', () => {
  it('are not chosen a subnet that another just grew into, whichever comes first', async () => {
    for (const growsFirst of [true, false]) {
      const store = new MemoryStore();
      await using one = await openBrain(store);
      await using two = await openBrain(store);
      const [a, b] = [one, two].map((brain) => new Operator(brain, readPools('10.1.0.0/26/28')));
      if (a === undefined || b === undefined) throw new Error('two were made');
      const { id, revision } = await a.create({ subnets: [wish('10.1.0.16/28')] });
      await two.cache.atLeast(revision, new AbortController().signal);
      const grow = (): Promise<Network> => b.update(id, { subnets: [wish('10.1.0.0/27')] });
      const [grown, chosen] = growsFirst
        ? await Promise.all([grow(), a.create()])
        : (await Promise.all([a.create(), grow()])).toReversed();
      // A network may grow over another that was there before: that was asked for.
      const free = (chosen?.revision ?? 0n) < (grown?.revision ?? 0n) ? '10.1.0.0/28' : '10.1.0.32/28';
      expect(chosen?.subnets.map(({ cidr }) => cidr)).toEqual([free]);
    }
  });

  it('do not both grow to where a sandbox of both would not tell them apart', async () => {
    const store = new MemoryStore();
    await using one = await openBrain(store);
    await using two = await openBrain(store);
    const [a, b] = [new Operator(one), new Operator(two)];
    const host = await a.host(1);
    const left = await a.create({ subnets: [wish('10.1.0.0/28')] });
    const right = await a.create({ subnets: [wish('10.1.0.32/28')] });
    await a.attach(left.id, host);
    const { revision } = await a.attach(right.id, host);
    await two.cache.atLeast(revision, new AbortController().signal);
    const results = await Promise.allSettled([
      a.update(left.id, { subnets: [wish('10.1.0.0/28'), wish('10.1.0.16/28')] }),
      b.update(right.id, { subnets: [wish('10.1.0.32/28'), wish('10.1.0.16/29')] }),
    ]);
    const reasons = results.map((each) => (each.status === 'rejected' ? (each.reason as WeftError).reason : 'changed'));
    expect(reasons.toSorted()).toEqual(['SUBNETS_OVERLAP', 'changed']);
  });

  it('never leave an endpoint outside of its network, nor a sandbox on two that overlap', async () => {
    let attached = 0;
    let updated = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 2, maxLength: 8 }), { minLength: 1, maxLength: 8 }),
        async (rounds) => {
          const store = new MemoryStore();
          await using one = await openBrain(store, { quarantineMs: 0, historyMs: 0 });
          await using two = await openBrain(store, { quarantineMs: 0, historyMs: 0 });
          await using watcher = await openBrain(store);
          const broken: string[] = [];
          using _following = watcher.cache.subscribe(({ changes }) => {
            const { view } = watcher.cache;
            broken.push(...wrongIn(view));
            for (const { kind, before, after } of changes) {
              if (kind === 'network' && before === undefined && after?.labels['automatic'] === 'yes') {
                broken.push(...overlapping(view, after.id));
              }
            }
          });
          const pools = readPools('10.1.0.0/26/28');
          const brains = [one, two].map((brain) => ({ brain, operator: new Operator(brain, pools) }));
          const host = await new Operator(one).host(1);
          for (const round of rounds) {
            await Promise.all(
              round.map(async (each, index) => {
                const by = brains[index % 2];
                if (by === undefined) return;
                try {
                  await perform(by, host, each);
                  if (each.kind === 'attach') attached += 1;
                  if (each.kind === 'update') updated += 1;
                } catch (error) {
                  if (!(error instanceof WeftError && EXPECTED.has(error.reason))) throw error;
                }
              }),
            );
          }
          const { revision } = await store.get('/weft/v1/o/meta', new AbortController().signal);
          await watcher.cache.atLeast(revision, new AbortController().signal);
          expect(broken).toEqual([]);
        },
      ),
      { numRuns: 150 },
    );
    // The game was played, not refused.
    expect(Math.min(attached, updated)).toBeGreaterThan(100);
  }, 60_000);
});

async function perform(
  { brain, operator }: { readonly brain: Brain; readonly operator: Operator },
  host: Host,
  each: Step,
): Promise<void> {
  const { view } = brain.cache;
  const pick = <T>(items: Iterable<T>, nth: number): T | undefined => {
    const all = [...items];
    return all[nth % Math.max(1, all.length)];
  };
  const subnets = (index: number) => (SHAPES[index] ?? []).map((cidr) => wish(cidr));
  if (each.kind === 'create') {
    if (each.shape === undefined) await operator.create({ labels: { automatic: 'yes' } });
    else await operator.create({ subnets: subnets(each.shape) });
    return;
  }
  if (each.kind === 'detach') {
    const endpoint = pick(view.endpoints.values(), each.nth);
    if (endpoint !== undefined) await operator.detach(endpoint);
    return;
  }
  const network = pick(view.networks.values(), each.network);
  if (network === undefined) return;
  if (each.kind === 'update') await operator.update(network.id, { subnets: subnets(each.shape) });
  else if (each.kind === 'label') await operator.update(network.id, { labels: { ...network.labels, x: each.value } });
  else if (each.kind === 'attach') await operator.attach(network.id, host, { sandbox: `s${String(each.sandbox)}` });
  else await operator.remove(network.id);
}

/** What must not be at any revision. */
function wrongIn(view: View): string[] {
  const wrong: string[] = [];
  for (const endpoint of view.endpoints.values()) {
    const network = view.networks.get(endpoint.networkId);
    if (network === undefined) {
      wrong.push(`${endpoint.sandbox} is on a network that is not there`);
      continue;
    }
    for (const address of endpoint.addresses) {
      if (!network.subnets.some((subnet) => objectionTo(subnet, address) === undefined)) {
        wrong.push(`${address} of ${endpoint.sandbox} is nowhere in ${network.subnets.map(({ cidr }) => cidr).join()}`);
      }
    }
    for (const other of view.endpointsIn(endpoint.hostId, endpoint.sandbox)) {
      const theirs = view.networks.get(other.networkId);
      if (other.id <= endpoint.id || theirs === undefined) continue;
      if (network.subnets.some((a) => theirs.subnets.some((b) => overlaps(a.cidr, b.cidr)))) {
        wrong.push(`${endpoint.sandbox} is on ${network.name} and ${theirs.name}, which overlap`);
      }
    }
  }
  return wrong;
}

/** What a network overlaps that was chosen so that it overlaps nothing. */
function overlapping(view: View, id: string): string[] {
  const [mine, others] = [
    [...view.networks.values()].filter((each) => each.id === id).flatMap(({ subnets }) => subnets),
    [...view.networks.values()].filter((each) => each.id !== id).flatMap(({ subnets }) => subnets),
  ];
  return mine.flatMap((a) =>
    others.filter((b) => overlaps(a.cidr, b.cidr)).map((b) => `${a.cidr} was chosen beside ${b.cidr}`),
  );
}
