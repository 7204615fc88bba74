import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { WeftError } from '../../core/errors.js';
import { newControllerId } from '../../core/ids.js';
import { StoredMeta } from '../../proto/gen/weft/v1/stored.js';
import { ObjectKind, WatchRequest, type WatchResponse } from '../../proto/gen/weft/v1/watch.js';
import { Client, Writer, sorted } from '../events/history.testing.js';
import { Random } from '../events/random.testing.js';
import { never } from '../store/contract-bench.testing.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { SCHEMA } from '../meta.js';
import { openController, type Harness, type TestClient } from '../testing.js';
import { WATCHES_MAX } from './call-limit.js';

const store = new MemoryStore();
const writer = new Writer(store, new Random(20_260_101));
let one: Harness;
let other: Harness;
let clients: readonly [TestClient, TestClient];

beforeAll(async () => {
  one = await openController(store, { events: { ring: { events: 500, bytes: 256 * 1024 } } });
  other = await openController(store);
  clients = [await one.client({ role: 'admin', name: 'ops' }), await other.client({ role: 'admin', name: 'ops' })];
});
afterAll(async () => {
  await one[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

async function now(): Promise<bigint> {
  return (await store.get('/', never)).revision;
}

function since(from: bigint): string[] {
  return sorted(writer.lines.filter((line) => BigInt(line.split(' ', 1)[0] ?? '') >= from));
}

async function first(client: TestClient, request: Partial<WatchRequest>): Promise<WatchResponse> {
  for await (const response of client.watch(request)) return response;
  throw new Error('it ended');
}

const refusal = (client: TestClient, request: Partial<WatchRequest>): Promise<WeftError> =>
  first(client, request).then(
    () => Promise.reject(new Error('it was not refused')),
    (error: unknown) => error as WeftError,
  );

describe('WatchService', () => {
  it('says first from where on it tells', async () => {
    const revision = await now();
    const { epoch, bookmark, events } = await first(clients[0], {});
    expect({ bookmark, events }).toEqual({ bookmark: revision, events: [] });
    expect(epoch).toMatch(/^[0-9a-f-]{36}$/);
    expect(await first(clients[0], { fromRevision: 3n, epoch })).toEqual({ epoch, bookmark: 2n, events: [] });
  });

  it('refuses what cannot be', async () => {
    const [client] = clients;
    const revision = await now();
    for (const [request, reason, field] of [
      [{ fromRevision: -1n }, 'ARGUMENT_INVALID', 'from_revision'],
      [{ kinds: [ObjectKind.OBJECT_KIND_UNSPECIFIED] }, 'ARGUMENT_INVALID', 'kinds[0]'],
      [{ kinds: [ObjectKind.OBJECT_KIND_HOST, ObjectKind.UNRECOGNIZED] }, 'ARGUMENT_INVALID', 'kinds[1]'],
      [{ network: '\u0007' }, 'ARGUMENT_INVALID', 'network'],
      [{ network: 'none-such' }, 'NETWORK_NOT_FOUND', 'network'],
      [{ host: 'none-such' }, 'HOST_NOT_FOUND', 'host'],
      [{ fromRevision: revision + 2n }, 'REVISION_AHEAD', undefined],
      [{ fromRevision: 2n ** 63n - 1n }, 'REVISION_AHEAD', undefined],
      [{ fromRevision: revision, epoch: '6f9a3a0c-6a9a-4f0c-9df4-0d6f1c1b2a3c' }, 'EPOCH_DIFFERS', undefined],
    ] as const) {
      const error = await refusal(client, request as Partial<WatchRequest>);
      expect([error.reason, error.violations[0]?.field]).toEqual([reason, field]);
    }
  }, 20_000);

  it('tells everything once to whoever is broken off after each message, and goes on at the other controller', async () => {
    const from = (await now()) + 1n;
    const target = from + 59n;
    const client = new Client();
    const following = (async () => {
      let turns = 0;
      for (let next = from; next <= target; next = (client.bookmark ?? next - 1n) + 1n) {
        let messages = 0;
        for await (const response of (turns % 2 === 0 ? clients[0] : clients[1]).watch({ fromRevision: next })) {
          client.take(response);
          messages += 1;
          if (messages === 1 + (turns % 3) || client.bookmark === target) break;
        }
        client.broken();
        turns += 1;
      }
    })();
    for (let count = 0; count < 60; count += 1) {
      await writer.write();
      if (count % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await following;
    expect(sorted(client.lines)).toEqual(since(from));
  }, 60_000);

  it('waits for a controller that has yet to hear of a revision that another one told', async () => {
    const ahead = (await now()) + 1n;
    const told = first(clients[1], { fromRevision: ahead + 1n });
    await writer.write();
    expect((await told).bookmark).toBe(ahead);
  });

  it('keeps next to nothing for who does not read, and tells all of it later; others are told meanwhile', async () => {
    const from = (await now()) + 1n;
    const stalled = clients[0].watches.watch(WatchRequest.fromPartial({ fromRevision: from }));
    const seen: WatchResponse[] = [];
    stalled.on('error', () => undefined);
    stalled.on('data', (response: WatchResponse) => {
      seen.push(response);
      stalled.pause();
    });
    await vi.waitFor(() => expect(seen).toHaveLength(1));
    const labels = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`l${String(index)}`, 'x'.repeat(1_000)]),
    );
    const quick = new Client();
    const target = from + 599n;
    const following = (async () => {
      for await (const response of clients[0].watch({ fromRevision: from })) {
        quick.take(response);
        if (quick.bookmark === target) return;
      }
    })();
    for (let count = 0; count < 600; count += 1) await writer.write(labels);
    await following;
    expect(sorted(quick.lines)).toEqual(since(from));
    expect(one.events.bytes).toBeLessThanOrEqual(256 * 1024);
    const slow = new Client();
    for (const response of seen) slow.take(response);
    stalled.removeAllListeners('data');
    stalled.on('data', (response: WatchResponse) => {
      slow.take(response);
    });
    stalled.resume();
    await vi.waitFor(() => expect(slow.bookmark).toBe(target), 15_000);
    stalled.cancel();
    expect(sorted(slow.lines)).toEqual(since(from));
  }, 60_000);

  it('is for so many watches of one client, and lets go of those that end', async () => {
    const client = await other.client({ role: 'admin', name: 'many' });
    const watches = Array.from({ length: WATCHES_MAX }, () => client.watch());
    for (const watch of watches) await watch.next();
    const refused = await refusal(client, {});
    expect(refused).toMatchObject({ reason: 'TOO_MANY_CALLS' });
    expect(refused.message).toContain(`admin "many" has ${String(WATCHES_MAX)} watches under way`);
    await first(clients[1], {});
    for (const watch of watches) await watch.return(undefined);
    await vi.waitFor(async () => {
      await first(client, {});
    }, 5_000);
    await vi.waitFor(() => {
      expect(other.events.watchers).toBe(0);
    }, 5_000);
  });

  it('does not tell what happened before a restore as the past of what was restored', async () => {
    await using restored = new MemoryStore();
    const before = new Writer(restored, new Random(1));
    await before.write();
    await before.write();
    const meta = StoredMeta.fromPartial({
      ...{ clusterId: newControllerId(), epoch: newControllerId(), formerEpochs: [newControllerId()], schema: SCHEMA },
    });
    const put = { key: objectKey.meta(), value: StoredMeta.encode(meta).finish() };
    const { revision } = await restored.commit({ compares: [], puts: [put], deletes: [] }, never);
    await using harness = await openController(restored);
    const client = await harness.client({ role: 'admin', name: 'ops' });
    for (const fromRevision of [2n, revision]) {
      expect(await refusal(client, { fromRevision })).toMatchObject({
        ...{ reason: 'HISTORY_COMPACTED', metadata: { oldestRevision: String(revision + 1n) } },
      });
    }
    expect(await first(client, { fromRevision: revision + 1n })).toMatchObject({ bookmark: revision });
  });

  it('is not for hosts', async () => {
    const host = await one.client({ role: 'host', name: 'h1' });
    expect(await refusal(host, {})).toMatchObject({ reason: 'NOT_ALLOWED' });
  });
});
