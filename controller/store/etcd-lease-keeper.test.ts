import { once } from 'node:events';
import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { bytes, never, take, transaction } from './contract-bench.testing.js';
import { CuttingProxy } from './cutting-proxy.testing.js';
import { EtcdCluster } from './etcd-cluster.testing.js';
import { EtcdLab } from './etcd-lab.testing.js';
import { EtcdStore } from './etcd.js';
import type { Lease, Store } from './store.js';

/** Etcd would grant a second here; on a busy machine that is short for three tries. */
const TTL_MS = 2_000;

const lostAt = async ({ lost }: Lease): Promise<number> => {
  if (!lost.aborted) await once(lost, 'abort');
  return performance.now();
};
const putOn = async (store: Store, key: string, lease: Lease): Promise<bigint> =>
  (await store.commit(transaction({ puts: [{ key, value: bytes(key), lease }] }), never)).revision;
const goneAt = async (store: Store, key: string, from: bigint): Promise<number> => {
  await take(store.watch({ prefix: key, from, signal: never }), (batches) =>
    batches.some(({ events }) => events.some(({ kind }) => kind === 'delete')),
  );
  return performance.now();
};

describe('leases of etcd that cannot be reached', () => {
  let lab: EtcdLab;
  let direct: EtcdStore;
  let key = '';
  let tests = 0;
  beforeAll(async () => {
    lab = await EtcdLab.open();
    direct = lab.store();
  });
  afterAll(async () => {
    await direct[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    tests += 1;
    key = `/t${String(tests)}`;
  });

  it('are lost while etcd hangs, before it can have ended them', async () => {
    await using store = lab.store();
    await using lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const revision = await putOn(store, key, lease);
    await pause(TTL_MS, never);
    const { pid } = lab.etcd;
    if (pid === undefined) throw new Error('etcd runs');
    process.kill(pid, 'SIGSTOP');
    try {
      const stoppedAt = performance.now();
      const lost = await lostAt(lease);
      expect(lost - stoppedAt).toBeLessThan(TTL_MS);
      expect(lease.remainingMs()).toBe(0);
      await pause(TTL_MS, never);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await goneAt(store, key, revision);
  });

  it('are lost before etcd ends them, when nothing gets through any more', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    const lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const revision = await putOn(store, key, lease);
    await pause(TTL_MS, never);
    const gone = goneAt(direct, key, revision);
    const cutAt = performance.now();
    await proxy[Symbol.asyncDispose]();
    const lost = await lostAt(lease);
    expect(lost - cutAt).toBeLessThan(TTL_MS);
    // Nothing to wait for: it ends by itself.
    await lease[Symbol.asyncDispose]();
    expect(await gone).toBeGreaterThan(lost);
  });

  it('live on when their connection goes silent', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    await using lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const revision = await putOn(store, key, lease);
    for (let times = 0; times < 3; times += 1) {
      proxy.silence();
      await pause(1.2 * TTL_MS, never);
    }
    expect(lease.lost.aborted).toBe(false);
    expect((await direct.get(key, never)).entry?.modRevision).toBe(revision);
  });

  it('live on over connections that end all the time, wherever each does', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    await using lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const revision = await putOn(store, key, lease);
    let connections = 0;
    // In the middle of TLS, of HTTP/2's beginning, of the first answers.
    proxy.budget = () => 100 + (connections++ % 7) * 600;
    for (let times = 0; times < 30; times += 1) {
      proxy.cut();
      await pause(TTL_MS / 10, never);
    }
    expect(connections).toBeGreaterThan(10);
    expect(lease.lost.aborted).toBe(false);
    expect((await direct.get(key, never)).entry?.modRevision).toBe(revision);
  });

  it('end without delay for who disposes of them while etcd is away', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port });
    const lease = await store.grantLease({ ttlMs: TTL_MS }, never);
    const revision = await putOn(store, key, lease);
    await proxy[Symbol.asyncDispose]();
    const startedAt = performance.now();
    await lease[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(2 * TTL_MS);
    await goneAt(direct, key, revision);
  });

  it('are adopted in no longer than a call may take', async () => {
    await using proxy = await CuttingProxy.open(lab.port);
    await using store = lab.store({ port: proxy.port, patienceMs: 300 });
    await using lease = await direct.grantLease({ ttlMs: TTL_MS }, never);
    const adopted = await store.adoptLease(lease.id, never);
    expect(adopted?.id).toBe(lease.id);
    adopted?.abandon();
    await proxy[Symbol.asyncDispose]();
    await expect(store.adoptLease(lease.id, never)).rejects.toThrow('did not answer');
    const reason = new Error('no longer wanted');
    const aborting = new AbortController();
    const adopting = store.adoptLease(lease.id, aborting.signal);
    aborting.abort(reason);
    await expect(adopting).rejects.toBe(reason);
  });

  it('do not keep a store from closing, also while the way to renew them is just being opened', async () => {
    for (let steps = 0; steps < 20; steps += 1) {
      const store = lab.store();
      await store.get(key, never);
      const adopted = store.adoptLease('4242', never).catch((error: unknown) => error);
      for (let step = 0; step < steps; step += 1) await Promise.resolve();
      const closed = store[Symbol.asyncDispose]().then(() => true);
      expect(await Promise.race([closed, pause(5_000, never).then(() => false)]), `after ${String(steps)}`).toBe(true);
      await adopted;
    }
  });

  it('are a thousand as easily, each renewed three times in its time, and evenly', async () => {
    await using store = lab.store();
    const ttlMs = 5_000;
    const leases: Lease[] = [];
    while (leases.length < 1_000) {
      leases.push(...(await Promise.all(Array.from({ length: 100 }, () => store.grantLease({ ttlMs }, never)))));
    }
    const startedAt = performance.now();
    const rates: number[] = [];
    let last = { at: startedAt, count: await renewals(lab) };
    const before = last.count;
    while (last.at - startedAt < 3 * ttlMs) {
      await pause(300, never);
      const count = await renewals(lab);
      const now = { at: performance.now(), count };
      rates.push((now.count - last.count) / (now.at - last.at));
      last = now;
    }
    const tookMs = performance.now() - startedAt;
    const renewed = last.count - before;
    expect(leases.filter(({ lost }) => lost.aborted)).toEqual([]);
    // Once more each, as the first is sometime until it is due.
    const due = (1_000 * tookMs) / (ttlMs / 3);
    expect(renewed).toBeGreaterThan(0.8 * due);
    expect(renewed).toBeLessThan(due + 1_000);
    expect(Math.max(...rates)).toBeLessThan((2.5 * renewed) / tookMs);
    await Promise.all(leases.map((lease) => lease[Symbol.asyncDispose]()));
  }, 60_000);
});

describe('leases of etcd whose members go', () => {
  it('live on, whichever of them hangs or dies', async () => {
    // Elections that take half a second, so that a short lease outlasts them.
    await using cluster = await EtcdCluster.open(3, ['--heartbeat-interval=50', '--election-timeout=500']);
    await using store = new EtcdStore(cluster.options());
    const leases = await Promise.all(Array.from({ length: 20 }, () => store.grantLease({ ttlMs: 4_000 }, never)));
    for (const [index, lease] of leases.entries()) await putOn(store, `/members/${String(index)}`, lease);
    const { revision } = await store.get('/members', never);
    for (const { name } of cluster.members) {
      const member = cluster.members.find((each) => each.name === name)?.process;
      member?.kill('SIGSTOP');
      await pause(5_000, never);
      member?.kill('SIGCONT');
      await cluster.leader();
      await cluster.kill(name);
      await pause(1_500, never);
      cluster.start(name);
      await cluster.leader();
    }
    expect(leases.filter(({ lost }) => lost.aborted)).toEqual([]);
    expect(await store.count('/members/', never)).toBe(20);
    expect((await store.get('/members', never)).revision).toBe(revision);
  }, 90_000);
});

/** How many renewals etcd has answered since it was started. */
async function renewals(lab: EtcdLab): Promise<number> {
  const { cert, key, ca } = lab.etcd.tls;
  // Its name is for Weft's own client.
  const options = { cert, key, ca, checkServerIdentity: () => undefined };
  const [answer] = (await once(get(`${lab.etcd.endpoints[0] ?? ''}/metrics`, options), 'response')) as [
    NodeJS.ReadableStream,
  ];
  const found = /^etcd_debugging_lease_renewed_total (\S+)$/m.exec(await text(answer));
  if (found === null) throw new Error('etcd counts renewals');
  return Number(found[1]);
}
