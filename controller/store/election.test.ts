import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytes, never } from './contract-bench.testing.js';
import { Campaigner } from './campaigner.testing.js';
import { campaign } from './election.js';
import { EtcdLab } from './etcd-lab.testing.js';

const TTL_MS = 1_000;
/** Two more for an etcd that looks twice a second, and for a busy machine. */
const HAND_OVER_MS = TTL_MS + 2_000;

describe('a leader in another process', () => {
  let lab: EtcdLab;
  beforeAll(async () => {
    lab = await EtcdLab.open();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const begin = async (at: string) => {
    const leader = new Campaigner({
      etcd: lab.options(),
      election: `${at}leader`,
      workKey: `${at}work`,
      ttlMs: TTL_MS,
    });
    expect(await leader.next()).toBe('leads');
    return leader;
  };

  it('that is killed is followed when its lease has ended', async () => {
    using leader = await begin('/killed/');
    await using store = lab.store();
    await using lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const next = campaign({ store, name: '/killed/leader', value: bytes('next'), lease }, never);
    while ((await store.count('/killed/leader/', never)) < 2);
    leader.process.kill('SIGKILL');
    const killedAt = performance.now();
    await using leadership = await next;
    expect(performance.now() - killedAt).toBeLessThan(HAND_OVER_MS);
    expect(leadership.lost.aborted).toBe(false);
  });

  it('that stood still cannot write, although it never asks whether it leads', async () => {
    using leader = await begin('/still/');
    await using store = lab.store();
    await using lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const next = campaign({ store, name: '/still/leader', value: bytes('next'), lease }, never);
    while ((await store.count('/still/leader/', never)) < 2);
    leader.process.kill('SIGSTOP');
    const stoppedAt = performance.now();
    await using leadership = await next;
    expect(performance.now() - stoppedAt).toBeLessThan(HAND_OVER_MS);
    const puts = [{ key: '/still/work', value: bytes('next') }];
    const mine = await store.commit({ compares: [leadership.fence()], puts, deletes: [] }, never);
    expect(mine.committed).toBe(true);
    leader.process.kill('SIGCONT');
    expect(await leader.next()).toBe('refused');
    expect((await store.get('/still/work', never)).entry?.modRevision).toBe(mine.revision);
    expect(leadership.lost.aborted).toBe(false);
  });
});
