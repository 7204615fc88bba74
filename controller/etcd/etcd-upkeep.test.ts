import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { readEtcd, type EtcdReport } from './etcd-status.js';
import { KEPT_MS, KEPT_REVISIONS, RevisionClock, keepUp, planUpkeep, type UpkeepFacts } from './etcd-upkeep.js';
import { EmbeddedEtcd } from '../store/embedded-etcd.js';
import { EtcdConnection } from '../store/etcd-connection.js';
import { EtcdStore } from '../store/etcd.js';
import { guardKey } from '../store/keys.js';
import { StoreFull } from '../store/store.js';
import { SILENT, openController } from '../testing.js';
import { etcdWarnings } from './etcd-warnings.js';

const MIB = 1024n * 1024n;

describe('what the upkeep of etcd does', () => {
  const facts = (change: Partial<UpkeepFacts> & Partial<UpkeepFacts['facts']> = {}): UpkeepFacts => {
    const { size = 10n * MIB, sizeInUse = 10n * MIB, quota = 4_096n * MIB, ...rest } = change;
    return {
      ...{ facts: { size, sizeInUse, quota }, revision: 1_000_000n, revisionThen: 950_000n, compacted: 0n },
      ...{ noSpace: false, revisionBefore: 999_000n, ...rest },
    };
  };
  it.each([
    ['keeps revisions', facts(), { compactTo: 900_000n, defragment: false }],
    ['keeps time', facts({ revisionThen: 500_000n }), { compactTo: 500_000n, defragment: false }],
    ['waits for an hour', facts({ revisionThen: undefined }), { compactTo: undefined, defragment: false }],
    ['does nothing for little', facts({ compacted: 896_000n }), { compactTo: undefined, defragment: false }],
    ['never nears the head', facts({ revision: 90_000n }), { compactTo: undefined, defragment: false }],
    [
      'forgets time where space is short',
      facts({ size: 3_000n * MIB, sizeInUse: 2_900n * MIB, revisionThen: undefined }),
      { compactTo: 900_000n, defragment: false },
    ],
    [
      'gives back',
      facts({ size: 200n * MIB, sizeInUse: 90n * MIB, compacted: 900_000n }),
      { compactTo: undefined, defragment: true },
    ],
    [
      'leaves a small file',
      facts({ size: 60n * MIB, sizeInUse: MIB, compacted: 900_000n }),
      { compactTo: undefined, defragment: false },
    ],
    ['makes room', facts({ noSpace: true }), { compactTo: 999_900n, defragment: true }],
    [
      'makes room up to a few removals',
      facts({ noSpace: true, compacted: 999_900n, revisionBefore: 999_997n }),
      { compactTo: 999_997n, defragment: true },
    ],
    [
      'makes room at once where it has just begun',
      facts({ noSpace: true, revisionBefore: 0n }),
      { compactTo: 999_900n, defragment: true },
    ],
  ])('%s', (_, given, plan) => {
    expect(planUpkeep(given)).toEqual(plan);
  });

  it('knows the head of an hour ago, and no more than it needs', () => {
    const clock = new RevisionClock(KEPT_MS, 60_000);
    for (let minute = 0; minute < 59; minute += 1) clock.note(minute * 60_000, BigInt(minute));
    expect(clock.then(59 * 60_000)).toBeUndefined();
    for (let minute = 60; minute < 600; minute += 1) {
      clock.note(minute * 60_000, BigInt(minute));
      clock.note(minute * 60_000 + 1, 1_000_000n);
    }
    expect(clock.then(599 * 60_000)).toBe(539n);
    expect(KEPT_REVISIONS).toBe(100_000n);
  });
});

describe('an etcd of 16 MiB that was filled', () => {
  let directory: string;
  let etcd: EmbeddedEtcd;
  let store: EtcdStore;
  const never = new AbortController().signal;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-upkeep-'));
    const quotaBytes = 16 * 1024 ** 2;
    etcd = await EmbeddedEtcd.start({ directory: join(directory, 'etcd'), log: SILENT, quotaBytes }, never);
    store = new EtcdStore(etcd);
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await etcd[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  const write = (value: Uint8Array, key = guardKey.vni(9_000)) =>
    store.commit({ compares: [], puts: [{ key, value }], deletes: [] }, never);

  const report = (embedded = true): Promise<EtcdReport> =>
    readEtcd({ embedded, endpoints: etcd.endpoints, tls: etcd.tls, dataDir: directory }, never);

  /** Writes one key again and again, until it is refused. */
  async function fill(): Promise<void> {
    const value = Buffer.alloc(16_000, 7);
    for (let round = 0; round < 200; round += 1) {
      try {
        await Promise.all(Array.from({ length: 16 }, () => write(value)));
      } catch (error) {
        if (error instanceof StoreFull) return;
        throw error;
      }
    }
    throw new Error('16 MiB took 50 MB');
  }

  it('says so at every client and in the status, and recovers by itself', async () => {
    await using controller = await openController(store);
    const admin = await controller.client({ role: 'admin', name: 'ops' });
    const create = admin.networks.create.bind(admin.networks);
    await admin.call(create, CreateNetworkRequest.fromPartial({ name: 'before' }));
    await fill();
    const refused = admin.call(create, CreateNetworkRequest.fromPartial({ name: 'refused' }));
    await expect(refused).rejects.toMatchObject({ reason: 'STORE_FULL' });

    const full = await report();
    expect(full.alarms).toEqual(['NOSPACE']);
    expect(full.status).toMatchObject({
      ...{ embedded: true, dataDir: directory, databaseQuota: 16n * MIB },
      members: [{ endpoint: etcd.endpoints[0], healthy: true, leader: true, problem: '' }],
    });
    expect(full.status.databaseSize).toBeGreaterThan(14n * MIB);
    expect(etcdWarnings(full)).toMatchObject([{ reason: 'ETCD_NO_SPACE', object: 'etcd' }]);
    expect(etcdWarnings(await report(false))[0]?.message).toMatch(/etcdctl alarm disarm/);

    const stop = new AbortController();
    const [endpoint = ''] = etcd.endpoints;
    const kept = keepUp({ endpoint, tls: etcd.tls, log: SILENT, everyMs: 200 }, stop.signal);
    try {
      const deadline = AbortSignal.timeout(30_000);
      for (;;) {
        const outcome = await admin.call(create, CreateNetworkRequest.fromPartial({ name: 'after' })).catch(String);
        if (typeof outcome !== 'string') break;
        expect(outcome).toMatch(/space|store/);
        if (!(await pause(100, deadline))) throw new Error(`it did not recover: ${outcome}`);
      }
      expect((await report()).alarms).toEqual([]);
      // Again, and nothing of what is held is lost.
      await fill();
      while ((await report()).alarms.length > 0) if (!(await pause(100, deadline))) throw new Error('not again');
      const { networks } = await admin.call(admin.networks.list.bind(admin.networks), {
        ...{ pageSize: 0, pageToken: '', minRevision: 0n, filters: [] },
      });
      expect(networks.map(({ name }) => name).sort()).toEqual(['after', 'before']);
    } finally {
      stop.abort();
      await kept;
    }
  }, 90_000);

  it('of what is needed recovers when that is removed, in however few transactions', async () => {
    const value = Buffer.alloc(100_000, 7);
    const keys: string[] = [];
    const isTaken = (key: string): Promise<boolean> =>
      write(value, key).then(
        () => true,
        (error: unknown) => {
          if (error instanceof StoreFull) return false;
          throw error;
        },
      );
    const stop = new AbortController();
    const [endpoint = ''] = etcd.endpoints;
    const kept = keepUp({ endpoint, tls: etcd.tls, log: SILENT, everyMs: 200 }, stop.signal);
    try {
      // It makes room as long as there is some.
      for (let refused = 0; refused < 20;) {
        const key = guardKey.vni(10_000 + keys.length);
        if (await isTaken(key)) {
          keys.push(key);
          refused = 0;
        } else {
          refused += 1;
          await pause(100, never);
        }
      }
      await store.commit({ compares: [], puts: [], deletes: keys.slice(0, 100) }, never);
      const deadline = AbortSignal.timeout(20_000);
      while (!(await isTaken(guardKey.vni(9_002)))) if (!(await pause(100, deadline))) throw new Error('still full');
    } finally {
      stop.abort();
      await kept;
    }
  }, 60_000);

  it('answers for its status also while it hangs', async () => {
    const pid = etcd.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      const began = performance.now();
      const hanging = await report();
      expect(performance.now() - began).toBeLessThan(2_000);
      expect(hanging.status).toMatchObject({ version: '', members: [{ healthy: false, problem: 'no answer' }] });
      expect(etcdWarnings(hanging)).toMatchObject([{ reason: 'ETCD_MEMBER_DOWN' }]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  it('loses no call while it is defragmented', async () => {
    using connection = new EtcdConnection(etcd);
    let failed = 0;
    let done = 0;
    const stop = new AbortController();
    const writing = (async () => {
      while (!stop.signal.aborted) {
        await write(Buffer.from(String(done)), guardKey.vni(9_001)).catch(() => (failed += 1));
        done += 1;
      }
    })();
    for (let round = 0; round < 3; round += 1) {
      await connection.once((_, call, client) => client.maintenance.defragment(call), never);
    }
    stop.abort();
    await writing;
    expect(failed).toBe(0);
    expect(done).toBeGreaterThan(0);
  });
});
