import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { Client, Metadata, status as codes, type ServiceError } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { deferred, type Deferred } from '../../core/lifetime.js';
import { CONTROLLER_SERVER_NAME } from '../../proto/channel.js';
import {
  CreateNetworkRequest,
  ListNetworksRequest,
  type CreateNetworkResponse,
} from '../../proto/gen/weft/v1/network.js';
import { issue } from '../identity/ca.js';
import { MemoryStore } from '../store/memory.js';
import type { CommitResult, Transaction } from '../store/store.js';
import { openController, type Harness, type TestClient } from '../testing.js';
import { CALLS_MAX, STREAMS_MAX } from './call-limit.js';

const MIB = 1024 * 1024;

/** A store that can be made to hang, so that calls stay under way. */
class HangingStore extends MemoryStore {
  hung: Deferred<void> | undefined;

  override async commit(transaction: Transaction, signal: AbortSignal): Promise<CommitResult> {
    await this.hung?.promise;
    return super.commit(transaction, signal);
  }
}

const store = new HangingStore();
let harness: Harness;
let admin: TestClient;
beforeAll(async () => {
  harness = await openController(store);
  admin = await harness.client({ role: 'admin', name: 'ops' });
});
afterEach(() => {
  store.hung?.resolve();
  store.hung = undefined;
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
});

function create(
  client: TestClient,
  name: string,
  more: Partial<CreateNetworkRequest> = {},
): Promise<CreateNetworkResponse> {
  const request = CreateNetworkRequest.fromPartial({ name, ...more });
  return client.call(client.networks.create.bind(client.networks), request, 10_000);
}

const list = (client: TestClient) =>
  client.call(client.networks.list.bind(client.networks), ListNetworksRequest.fromPartial({ pageSize: 1 }));

const refusal = async (work: Promise<unknown>): Promise<WeftError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WeftError)) throw new Error(`not refused: ${String(error)}`);
  return error;
};

describe('calls under way', () => {
  it('are so many of one client; what is too many is refused at once, and others feel nothing of it', async () => {
    const busy = await harness.client({ role: 'admin', name: 'busy' });
    store.hung = deferred();
    const held = Array.from({ length: CALLS_MAX }, (_, index) => create(busy, `held-${String(index)}`));
    // By a second connection of the same certificate's name.
    const again = await harness.client({ role: 'admin', name: 'busy' });
    await vi.waitFor(async () => {
      const error = await refusal(list(again));
      expect(error.reason).toBe('TOO_MANY_CALLS');
      expect(error.message).toBe(
        `admin "busy" has ${String(CALLS_MAX)} calls under way, which is as many as one client may; wait for some to end`,
      );
    });
    const began = performance.now();
    const excess = await Promise.all(Array.from({ length: 500 }, () => refusal(list(again))));
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(new Set(excess.map(({ reason }) => reason))).toEqual(new Set(['TOO_MANY_CALLS']));
    expect((await list(admin)).networks).toBeDefined();

    store.hung.resolve();
    store.hung = undefined;
    expect(new Set((await Promise.all(held)).map(({ network }) => network?.vni)).size).toBe(CALLS_MAX);
    await vi.waitFor(async () => expect((await list(again)).networks).toHaveLength(1));
  }, 30_000);

  it('are counted until their answers are read, or their client goes', async () => {
    for (let index = 0; index < 8; index += 1) {
      const labels = Object.fromEntries(Array.from({ length: 15 }, (_, key) => [`k${String(key)}`, 'x'.repeat(1_000)]));
      await create(admin, `large-${String(index)}`, { labels });
    }
    const again = await harness.client({ role: 'admin', name: 'deaf' });
    {
      using deaf = await DeafClient.open(harness, 'deaf');
      for (let index = 0; index < CALLS_MAX; index += 1) deaf.list();
      await vi.waitFor(async () => expect((await refusal(list(again))).reason).toBe('TOO_MANY_CALLS'), 5_000);
      expect((await list(admin)).networks).toHaveLength(1);
    }
    await vi.waitFor(async () => expect((await list(again)).networks).toHaveLength(1));
  }, 30_000);
});

describe('streams', () => {
  it('are a few of one client', async () => {
    const client = await harness.client({ role: 'host', name: 'many' });
    // An agent that says nothing.
    const agents = Array.from({ length: STREAMS_MAX }, () => client.agent({ vtep: '' }));
    await vi.waitFor(async () => {
      const error = (await client.agent({ vtep: '' }).ended) as ServiceError;
      expect(error.code).toBe(codes.RESOURCE_EXHAUSTED);
      expect(error.details).toContain(`host "many" has ${String(STREAMS_MAX)} streams under way`);
    });
    agents[0]?.cancel();
    await vi.waitFor(async () => {
      const next = client.agent({ vtep: '192.0.2.77' });
      agents.push(next);
      await Promise.race([next.session(), next.ended.then((error) => Promise.reject(error ?? new Error('ended')))]);
    });
    for (const agent of agents) agent.cancel();
  }, 30_000);
});

describe('a message', () => {
  it('of more than 4 MiB is refused, and its connection goes on', async () => {
    const error = await refusal(create(admin, 'large', { labels: { k: 'x'.repeat(5 * MIB) } }));
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.message).toMatch(/^the message is too large for the controller: .*4194304/);
    expect((await list(admin)).networks).toHaveLength(1);
  });

  it('of a hundred thousand entries costs no more than to read it, and says so in a line', async () => {
    const labels = Object.fromEntries(Array.from({ length: 150_000 }, (_, index) => [`key-${String(index)}`, 'value']));
    const began = performance.now();
    const error = await refusal(create(admin, 'many', { labels }));
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations.map(({ field }) => field)).toEqual(['labels']);
    expect(error.message.length).toBeLessThan(500);
  });

  it('that is none is the caller’s mistake', async () => {
    const answers = await Promise.all(
      [Buffer.from('garbage'), Buffer.from([0x0a, 0xff, 0xff, 0xff, 0x7f]), Buffer.from([0x0a, 0x02, 0xff, 0xfe])].map(
        (bytes) => raw(admin, '/weft.v1.NetworkService/Create', bytes),
      ),
    );
    expect(answers.map(({ code }) => code)).toEqual(answers.map(() => codes.INVALID_ARGUMENT));
  });

  it('with a megabyte of metadata is refused, and other connections feel nothing of it', async () => {
    const wordy = await harness.client({ role: 'admin', name: 'wordy' });
    const metadata = new Metadata();
    for (let index = 0; index < 16; index += 1) metadata.set(`k-${String(index)}`, 'x'.repeat(64 * 1024));
    const error = await raw(wordy, '/weft.v1.NetworkService/List', Buffer.alloc(0), metadata);
    expect(error.code).not.toBe(codes.OK);
    expect((await list(admin)).networks).toHaveLength(1);
    await vi.waitFor(async () => expect((await list(wordy)).networks).toHaveLength(1));
  });
});

/** Sends these very bytes. */
function raw(
  client: TestClient,
  path: string,
  bytes: Buffer,
  metadata = new Metadata(),
): Promise<{ code: number; details: string }> {
  const caller = new Client('unused', undefined as never, { channelOverride: client.channel });
  const same = (value: Buffer): Buffer => value;
  return new Promise((resolve) => {
    caller.makeUnaryRequest(path, same, same, bytes, metadata, { deadline: Date.now() + 5_000 }, (error) => {
      resolve(error ?? { code: codes.OK, details: '' });
    });
  });
}

/** A client that asks, and takes no answer: it lets nothing through but what HTTP/2 lets through unasked. */
class DeafClient implements Disposable {
  readonly #streams: ClientHttp2Stream[] = [];
  private constructor(readonly session: ClientHttp2Session) {}

  static async open({ port, ca }: Harness, name: string): Promise<DeafClient> {
    const subject = { role: 'admin', name } as const;
    const { cert, key } = await issue({ ca, subject, sans: { dns: [], ip: [] }, usage: 'client', days: 1 });
    const session = connectHttp2(`https://127.0.0.1:${String(port)}`, {
      ...{ ca: ca.cert, cert, key, servername: CONTROLLER_SERVER_NAME },
      settings: { initialWindowSize: 1_024 },
    });
    session.on('error', () => undefined);
    return new DeafClient(session);
  }

  list(): void {
    const stream = this.session.request({
      ...{ ':method': 'POST', ':path': '/weft.v1.NetworkService/List', ':authority': CONTROLLER_SERVER_NAME },
      ...{ 'content-type': 'application/grpc', te: 'trailers' },
    });
    stream.on('error', () => undefined);
    // An empty message: no compression, a length of nothing.
    stream.end(Buffer.alloc(5));
    this.#streams.push(stream);
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}
