import { describe, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';
import { newHostId, newNetworkId } from '../../core/ids.js';
import { PRESENT } from '../../core/model.js';
import { ClusterView } from '../cache/view.js';
import type { Commits } from '../commit/commit.js';
import { Declarations } from './declarations.js';
import type { Context, Decision } from '../domain/decision.js';
import { guardKey, objectKey } from '../store/keys.js';
import type { Transaction } from '../store/store.js';
import { SILENT } from '../testing.js';

const NEVER = new AbortController().signal;

/** Answers every commit with itself. */
const echo: Commits = {
  run: async (decide) => {
    const decision = decide({} as Context);
    if (!('kind' in decision)) throw new Error(decision.reason);
    return { result: decision.kind === 'done' ? decision.result : decision.result(1n), revision: 1n };
  },
};

function cluster(epoch: string) {
  const view = new ClusterView();
  let nowMs = 1_000;
  const clock = { now: () => new Date(0), monotonicMs: () => nowMs };
  const vtep = parseIp('192.0.2.1');
  if (vtep === undefined) throw new RangeError('no address');
  const host = {
    ...{ id: newHostId(), name: 'h1', vtep, number: 1, version: '1', prefixes: [] },
    ...PRESENT,
    revision: 1n,
  };
  const say = (declaredEpoch: string): void => {
    view.apply(1n, [{ kind: 'put', object: { kind: 'host', value: { ...host, declaredEpoch } } }]);
  };
  say('old');
  const declarations = new Declarations({ view: () => view, epoch, clock, log: SILENT, patienceMs: 1_000 });
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { declarations, say, pass };
}

describe('before every host has said what it runs', () => {
  const commit = (transaction: Partial<Transaction>): Decision<string> => ({
    kind: 'commit',
    transaction: { compares: [], puts: [], deletes: [], ...transaction },
    result: () => 'done',
    moves: [],
  });
  const decisions: readonly [string, Decision<string>, boolean][] = [
    ['whatever takes something', commit({ compares: [{ kind: 'absent', key: guardKey.vni(1) }] }), true],
    ['a network that goes', commit({ deletes: [objectKey.network(newNetworkId())] }), true],
    ['what changes', commit({ compares: [{ kind: 'unchanged', key: 'x', modRevision: 1n }] }), false],
    ['what is there already', { kind: 'done', result: 'done' }, false],
  ];
  it.each(decisions)('%s', async (_, decision, waits) => {
    const { declarations, say } = cluster('new');
    using _declarations = declarations;
    const gated = declarations.gate(echo);
    const run = () => gated.run(() => decision, { requestId: '', signal: NEVER });
    if (waits) await expect(run()).rejects.toThrow('HOSTS_UNDECLARED');
    else await run();
    say('new');
    expect((await run()).result).toBe('done');
    // Whoever joins later has nothing from before that anybody has to wait for.
    say('');
    await run();
  });

  it('they are waited for ten minutes, and no longer', async () => {
    const { declarations, pass } = cluster('new');
    using _declarations = declarations;
    expect(declarations.awaited().map(({ name }) => name)).toEqual(['h1']);
    expect(declarations.givenUp()).toEqual([]);
    pass(1_000);
    expect(declarations.awaited()).toEqual([]);
    expect(declarations.givenUp().map(({ name }) => name)).toEqual(['h1']);
    const gated = declarations.gate(echo);
    await gated.run(() => decisions[0]?.[1] ?? commit({}), { requestId: '', signal: NEVER });
  });
});
