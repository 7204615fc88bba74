/** Endpoints a second through the rules and the store: in groups, beside one transaction each. */
import { randomMac } from '../core/mac.js';
import type { Context } from '../controller/domain/decision.js';
import { createEndpoint } from '../controller/domain/endpoint.js';
import { DEFAULT_SETTINGS } from '../controller/domain/settings.js';
import { openBrain, type Brain } from '../controller/testing.js';
import { BenchEtcd, NEVER, SETTINGS, makePlace, perSecond, wish, type Place } from './ipam-cluster.js';
import { median, medianRatio } from './statistics.js';

const CONCURRENCY = 256;
const ROUNDS = 5;
const GROUPED = 20_000;
const SINGLE = 3_000;

export interface GroupFigures {
  readonly groupedPerSecond: number;
  readonly singlePerSecond: number;
  readonly ratio: number;
}

export async function measureGroups(say: (text: string) => void): Promise<GroupFigures> {
  await using etcd = await BenchEtcd.start();
  await using store = etcd.store();
  await using brain = await openBrain(store, SETTINGS, { patienceMs: 1_000 });
  const rounds: [number, number][] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const place = await makePlace(brain);
    const grouped = await perSecond(GROUPED, CONCURRENCY, () => {
      const command = wish(place);
      return brain.committer.run((context) => createEndpoint(context, command), { requestId: 'bench', signal: NEVER });
    });
    const single = await perSecond(SINGLE, CONCURRENCY, singly(brain, place));
    say(`${round < 0 ? 'warm-up' : `round ${String(round + 1)}`}: ${rate(grouped)} in groups, ${rate(single)} singly`);
    if (round >= 0) rounds.push([grouped, single]);
  }
  return {
    groupedPerSecond: median(rounds.map(([grouped]) => grouped)),
    singlePerSecond: median(rounds.map(([, single]) => single)),
    ratio: medianRatio(rounds),
  };
}

function rate(value: number): string {
  return `${Math.round(value).toLocaleString('en')}/s`;
}

/** The peer: the same rules on the same cache and store, each endpoint in a transaction of its own. */
function singly({ store, cache }: Brain, place: Place): () => Promise<void> {
  const cursors = new Map<string, bigint>();
  return async () => {
    const context: Context = {
      ...{ view: cache.view, requestId: 'bench', newMac: randomMac, nowMs: Date.now(), retried: false },
      ...{ guardRevision: () => 0n, cursor: (pool: string) => cursors.get(pool), underway: () => 0 },
      settings: { ...DEFAULT_SETTINGS, ...SETTINGS },
    };
    const decision = createEndpoint(context, wish(place));
    if (!('kind' in decision) || decision.kind === 'done') throw new Error('an endpoint was refused');
    for (const { pool, at } of decision.moves) cursors.set(pool, at);
    const result = await store.commit(decision.transaction, NEVER);
    if (!result.committed) throw new Error('an endpoint was not committed');
    await cache.atLeast(result.revision, NEVER);
  };
}
