import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../core/clock.js';
import { newEndpointId, newHostId, newNetworkId } from '../../core/ids.js';
import { readBackup, writeBackup } from '../../proto/backup-file.js';
import { StoredMeta, type BackupEntry, type BackupHeader } from '../../proto/gen/weft/v1/stored.js';
import { loadOrCreateMeta } from '../meta.js';
import { OBJECTS, ROOT, guardKey, objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { StoreUnavailable, type CommitResult, type Store, type Transaction } from '../store/store.js';
import { SILENT, openBrain } from '../testing.js';
import { makeCluster } from './cluster.testing.js';
import { Restores } from './restores.js';
import { takeBackup } from './take.js';

const { signal } = new AbortController();

async function backupOf(store: Store): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of takeBackup({ store, clock: systemClock, signal })) parts.push(part);
  return Buffer.concat(parts);
}

async function restore(store: Store, file: Buffer) {
  await using restores = new Restores({ store, directory: tmpdir() });
  return await restores.restore(chunksOf(file), SILENT, signal);
}

async function* chunksOf(file: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.length; at += 1_000) yield file.subarray(at, at + 1_000);
}

/** What a backup keeps of a store. */
async function stateOf(store: Store): Promise<ReadonlyMap<string, string>> {
  const { entries } = await store.list(ROOT, signal);
  return new Map(
    entries
      .filter(({ key }) => key !== objectKey.meta())
      .map(({ key, value }) => [key, Buffer.from(value).toString('hex')]),
  );
}

async function metaOf(store: Store): Promise<StoredMeta> {
  const { entry } = await store.get(objectKey.meta(), signal);
  return StoredMeta.decode(entry?.value ?? Buffer.alloc(0));
}

let clusters = 0;

/** A cluster with some of everything. */
async function cluster(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await loadOrCreateMeta(store, SILENT, signal);
  await makeCluster(store, 'web');
  // More than travels in one transaction, and nothing that another one has.
  clusters += 1;
  const many = Array.from({ length: 300 }, (_, index) => clusters * 10_000 + index);
  await setGuards(store, [], many);
  return store;
}

/** Fails the commit number `at`, before or after it took effect. */
class FailingStore implements Store {
  commits = 0;
  constructor(
    readonly inner: MemoryStore,
    readonly at: number,
    readonly when: 'before' | 'after',
    readonly error: Error,
  ) {}
  get: Store['get'] = (key, until) => this.inner.get(key, until);
  list: Store['list'] = (prefix, until) => this.inner.list(prefix, until);
  revisions: Store['revisions'] = (options) => this.inner.revisions(options);
  count: Store['count'] = (prefix, until) => this.inner.count(prefix, until);
  oldest: Store['oldest'] = (prefix, limit, until) => this.inner.oldest(prefix, limit, until);
  watch: Store['watch'] = (options) => this.inner.watch(options);
  grantLease: Store['grantLease'] = (options, until) => this.inner.grantLease(options, until);
  adoptLease: Store['adoptLease'] = (id, until) => this.inner.adoptLease(id, until);
  async commit(transaction: Transaction, until: AbortSignal): Promise<CommitResult> {
    this.commits += 1;
    if (this.commits !== this.at) return this.inner.commit(transaction, until);
    if (this.when === 'after') await this.inner.commit(transaction, until);
    throw this.error;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

describe('a restore', () => {
  it('brings the same cluster back to what it was, at a new epoch', async () => {
    const store = await cluster();
    const before = await stateOf(store);
    const { clusterId, epoch } = await metaOf(store);
    const file = await backupOf(store);
    await makeCluster(store, 'later', 2);
    expect(await stateOf(store)).not.toEqual(before);

    const restored = await restore(store, file);
    expect(await stateOf(store)).toEqual(before);
    expect(restored).toMatchObject({ clusterId, networks: 1, endpoints: 2, hosts: 2 });
    expect(restored.epoch).not.toBe(epoch);
    const { revision } = (await headerOf(file)) ?? { revision: 0n };
    expect(await metaOf(store)).toEqual({
      ...{ clusterId, epoch: restored.epoch, schema: 1, restoring: false },
      ...{ formerEpochs: [epoch], backupEpoch: epoch, backupRevision: revision },
    });
    // Of the state as of its revision, another backup holds the same.
    expect(await keysIn(await backupOf(store))).toEqual(await keysIn(file));
  });

  it('gives a new cluster the identity of the old one', async () => {
    const store = await cluster();
    const other = new MemoryStore();
    const own = await loadOrCreateMeta(other, SILENT, signal);
    await restore(other, await backupOf(store));
    const { clusterId } = await metaOf(store);
    expect(own.clusterId).not.toBe(clusterId);
    expect(await metaOf(other)).toMatchObject({ clusterId, restoring: false });
    expect(await stateOf(other)).toEqual(await stateOf(store));
  });

  it('remembers every epoch that hosts may have followed, and not those of restores that were never through', async () => {
    const store = await cluster();
    const old = await backupOf(store);
    const first = (await metaOf(store)).epoch;
    const second = (await restore(store, old)).epoch;
    const newer = await backupOf(store);
    const broken = new FailingStore(store, 2, 'before', new Error('killed here'));
    await expect(restore(broken, old)).rejects.toThrow('killed here');
    const third = (await restore(store, old)).epoch;
    expect((await metaOf(store)).formerEpochs).toEqual([second, first]);
    // Another machine's cluster, whose hosts may have followed its own epoch until then, and one of the third since.
    const other = new MemoryStore();
    const own = await loadOrCreateMeta(other, SILENT, signal);
    expect([own.formerEpochs, own.backup]).toEqual([[], undefined]);
    await restore(other, newer);
    const { formerEpochs, backup } = await loadOrCreateMeta(other, SILENT, signal);
    expect(formerEpochs).toEqual([own.epoch, second, first]);
    expect(backup).toEqual({ epoch: second, revision: (await headerOf(newer))?.revision });
    for (let round = 0; round < 120; round += 1) await restore(store, old);
    expect((await metaOf(store)).formerEpochs).toHaveLength(100);
    expect((await metaOf(store)).formerEpochs).not.toContain(third);
  });

  it('that is broken off at any step is marked, and done again comes to the same end', async () => {
    const store = await cluster();
    const before = await stateOf(store);
    const file = await backupOf(store);
    const steps = await commitsOfRestore(file);
    expect(steps).toBeGreaterThan(3);
    for (let at = 1; at <= steps; at += 1) {
      for (const when of ['before', 'after'] as const) {
        const other = await cluster();
        const failing = new FailingStore(other, at, when, new Error('killed here'));
        await expect(restore(failing, file)).rejects.toThrow('killed here');
        const { restoring } = await metaOf(other);
        const untouched = at === 1 && when === 'before';
        const through = at === steps && when === 'after';
        expect([at, when, restoring]).toEqual([at, when, !untouched && !through]);
        if (restoring) await expect(backupOf(other)).rejects.toMatchObject({ reason: 'RESTORE_UNFINISHED' });
        await restore(other, file);
        expect(await stateOf(other)).toEqual(before);
        expect((await metaOf(other)).restoring).toBe(false);
      }
    }
  });

  it('goes on where the store did not answer, whether it had written or not', async () => {
    const file = await backupOf(await cluster());
    const steps = await commitsOfRestore(file);
    for (let at = 1; at <= steps; at += 1) {
      for (const when of ['before', 'after'] as const) {
        const other = await cluster();
        await restore(new FailingStore(other, at, when, new StoreUnavailable('away')), file);
        expect((await metaOf(other)).restoring).toBe(false);
      }
    }
  });

  it('shuts out every controller of the epoch before, and ends what waits for its state', async () => {
    const store = await cluster();
    const file = await backupOf(store);
    const { modRevision } = (await store.get(objectKey.meta(), signal)).entry ?? { modRevision: 0n };
    await using brain = await openBrain(store, {}, { metaRevision: modRevision });
    const { revision } = brain.cache.view;
    const other = await cluster();
    const file2 = await backupOf(other);
    const waiting = brain.cache.atLeast(revision + 1_000n, signal);
    waiting.catch(() => undefined);
    await restore(store, file2);
    await brain.cache.superseded;
    await expect(waiting).rejects.toMatchObject({ reason: 'RESTORE_UNFINISHED' });
    // Nothing of the new state came in.
    expect(brain.cache.view.revision).toBe(revision);
    expect(brain.cache.view.networks.size).toBe(1);
    const late = brain.committer.run(
      () => ({
        kind: 'commit',
        transaction: { compares: [], puts: [{ key: guardKey.vni(9), value: Buffer.from('x') }], deletes: [] },
        result: () => undefined,
        moves: [],
      }),
      { requestId: 'late', signal },
    );
    await expect(late).rejects.toMatchObject({ reason: 'RESTORE_UNFINISHED' });
    expect((await store.get(guardKey.vni(9), signal)).entry).toBeUndefined();
    expect(file.length).toBeGreaterThan(0);
  });

  it('ends when another one takes over, which wins', async () => {
    const store = await cluster();
    const file = await backupOf(store);
    const empty = new MemoryStore();
    await loadOrCreateMeta(empty, SILENT, signal);
    const nothing = await backupOf(empty);
    const racing = new FailingStore(store, -1, 'before', new Error());
    const commit = racing.commit.bind(racing);
    racing.commit = async (transaction, until) => {
      const result = await commit(transaction, until);
      if (racing.commits === 1) await restore(store, nothing);
      return result;
    };
    await expect(restore(racing, file)).rejects.toMatchObject({ reason: 'RESTORE_UNFINISHED' });
    expect(await stateOf(store)).toEqual(new Map());
    expect((await metaOf(store)).restoring).toBe(false);
  });

  it('is one at a time', async () => {
    const store = await cluster();
    const file = await backupOf(store);
    await using restores = new Restores({ store, directory: tmpdir() });
    const first = restores.restore(chunksOf(file), SILENT, signal);
    await expect(restores.restore(chunksOf(file), SILENT, signal)).rejects.toMatchObject({ reason: 'TOO_MANY_CALLS' });
    await first;
    await restores.restore(chunksOf(file), SILENT, signal);
  });

  it('survives everything there is: any state comes back as it was', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 4096, max: 9_999 }), { maxLength: 300 }),
        fc.uniqueArray(fc.integer({ min: 4096, max: 9_999 }), { maxLength: 300 }),
        async (then, now) => {
          const store = new MemoryStore();
          await loadOrCreateMeta(store, SILENT, signal);
          await setGuards(store, [], then);
          const before = await stateOf(store);
          const file = await backupOf(store);
          await setGuards(store, then, now);
          await restore(store, file);
          expect(await stateOf(store)).toEqual(before);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('a file that is not to be restored', () => {
  const header = (change: Partial<BackupHeader> = {}, meta: Partial<StoredMeta> = {}): BackupHeader => ({
    ...{ format: 1, revision: 100n, time: new Date(0), version: '0.1.0' },
    meta: StoredMeta.fromPartial({ clusterId: newHostId(), epoch: newHostId(), schema: 1, ...meta }),
    ...change,
  });
  const entry = (key: string, change: Partial<BackupEntry> = {}): BackupEntry => ({
    ...{ key, value: Buffer.from('x'), createRevision: 1n, modRevision: 1n },
    ...change,
  });
  const [vni, other] = [guardKey.vni(5000), guardKey.vni(6000)];

  it.each<[string, BackupHeader, readonly BackupEntry[], RegExp]>([
    ['a newer schema', header({}, { schema: 2 }), [], /schema 2, and this controller knows 1/],
    ['no schema', header({}, { schema: 0 }), [], /schema 0/],
    ['an id that is none', header({}, { clusterId: 'x' }), [], /header/],
    ['a former epoch that is none', header({}, { formerEpochs: [newHostId(), 'x'] }), [], /header/],
    ['an unfinished restore', header({}, { restoring: true }), [], /header/],
    ['a revision that cannot be', header({ revision: -1n }), [], /header/],
    ['a kind of guard nobody knows', header(), [entry(`${ROOT}g/tunnels/1`)], /no key that this Weft knows/],
    ['a kind of object nobody knows', header(), [entry(`${OBJECTS}services/a/b`)], /no key that this Weft knows/],
    ['a key of somebody else', header(), [entry('/registry/pods')], /no key that this Weft knows/],
    ['the identity among the entries', header(), [entry(objectKey.meta())], /no key that this Weft knows/],
    ['a leased key', header(), [entry(objectKey.resting(newNetworkId(), '10.1.0.2'))], /no key/],
    ['a value that is none', header(), [entry(objectKey.network(newNetworkId()))], /cannot be read/],
    ['another endpoint', header(), [entry(objectKey.endpoint(newNetworkId(), newEndpointId()))], /cannot be read/],
    ['a key twice', header(), [entry(vni), entry(vni)], /stands behind/],
    ['keys out of order', header(), [entry(other), entry(vni)], /stands behind/],
    ['a revision of the future', header(), [entry(vni, { modRevision: 101n })], /revisions that cannot be/],
    ['the largest revision', header(), [entry(vni, { modRevision: (1n << 63n) - 1n })], /revisions that cannot be/],
    ['a revision below all', header(), [entry(vni, { createRevision: -(1n << 63n) })], /revisions that cannot be/],
  ])('%s', async (_, head, entries, says) => {
    const parts: Buffer[] = [];
    for await (const part of writeBackup(head, entries)) parts.push(part);
    await refused(Buffer.concat(parts), says);
  });

  it('one that is cut off anywhere, or has any bit changed', async () => {
    const file = await backupOf(await cluster());
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.nat(7), async (at, bit) => {
        await refused(file.subarray(0, at), /./);
        const changed = Buffer.from(file);
        changed[at] = (changed[at] ?? 0) ^ (1 << bit);
        await refused(changed, /./);
      }),
      { numRuns: 150 },
    );
  });

  /** Says no, and has touched nothing. */
  async function refused(file: Buffer, says: RegExp): Promise<void> {
    const store = new MemoryStore();
    const { metaRevision } = await loadOrCreateMeta(store, SILENT, signal);
    const error: unknown = await restore(store, file).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ reason: 'BACKUP_INVALID' });
    expect((error as Error).message).toMatch(says);
    expect((await store.get(objectKey.meta(), signal)).revision).toBe(metaRevision);
  }
});

async function headerOf(file: Buffer): Promise<BackupHeader | undefined> {
  for await (const record of readBackup([file])) if (record.kind === 'header') return record.header;
  return undefined;
}

async function keysIn(file: Buffer): Promise<string[]> {
  const keys: string[] = [];
  for await (const record of readBackup([file])) if (record.kind === 'entry') keys.push(record.entry.key);
  return keys;
}

async function commitsOfRestore(file: Buffer): Promise<number> {
  const counting = new FailingStore(await cluster(), -1, 'before', new Error());
  await restore(counting, file);
  return counting.commits;
}

async function setGuards(store: Store, drop: readonly number[], put: readonly number[]): Promise<void> {
  const deletes = drop.filter((each) => !put.includes(each)).map((each) => guardKey.vni(each));
  const puts = put.map((each) => ({ key: guardKey.vni(each), value: Buffer.from(String(each)) }));
  for (let at = 0; at < Math.max(puts.length, deletes.length); at += 60) {
    await store.commit({ compares: [], puts: puts.slice(at, at + 60), deletes: deletes.slice(at, at + 60) }, signal);
  }
}
