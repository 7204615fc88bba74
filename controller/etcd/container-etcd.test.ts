import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeftError } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { pause } from '../../core/lifetime.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { DockerDaemon } from '../store/docker-daemon.testing.js';
import { EtcdContainer } from '../store/etcd-container.testing.js';
import { ControllerPrograms, connect, endProgram } from '../program.testing.js';
import { bytes, never, putting, type StoreUnderTest } from '../store/contract-bench.testing.js';
import { compact, revoke } from '../store/etcd-orders.testing.js';
import { EtcdStore } from '../store/etcd.js';
import { describeStore } from '../store/store-contract.testing.js';
import { StoreRefused, StoreUnavailable } from '../store/store.js';
import { describeWatch } from '../store/watch-contract.testing.js';
import type { TestClient } from '../testing.js';

/** Milliseconds in which a daemon and its container come up, also on a busy machine. */
const START_MS = 60_000;

/** Who may do everything, for the suites, which write all over the store; */
const SUITE = 'suite';
/** and whom docs/etcd.md describes. */
const WEFT = 'weft';

let opened: DockerDaemon | undefined;
let daemon: DockerDaemon;
let etcd: EtcdContainer;
beforeAll(async () => {
  opened = daemon = await DockerDaemon.start();
  process.env['DOCKER_HOST'] = daemon.host;
  // Whoever runs this may have credentials for registries: they are none of a test's affair.
  process.env['DOCKER_CONFIG'] = daemon.directory;
  // Its helper would have to be pulled; what it is for, the daemon's end does.
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  // Where a daemon has no bridge, testcontainers cannot find out how to reach it.
  process.env['TESTCONTAINERS_HOST_OVERRIDE'] = '127.0.0.1';
  etcd = await EtcdContainer.start(daemon, await daemon.importPrograms('weft-etcd', ['/usr/bin/etcd']));
  await etcd.enableAccessControl({
    [SUITE]: [{ from: '\0', to: '\0' }],
    [WEFT]: [{ from: '/' }, { from: '/weft/v1/', to: '/weft/v10' }],
  });
}, START_MS);
afterAll(async () => {
  await opened?.[Symbol.asyncDispose]();
}, START_MS);

async function openUnderTest(): Promise<StoreUnderTest> {
  const options = { endpoints: [etcd.endpoint], tls: await etcd.credentials(SUITE) };
  const store = new EtcdStore(options);
  return {
    store,
    compact: (revision) => compact(options, revision),
    revoke: (id) => revoke(options, id),
    another: () => new EtcdStore(options),
    [Symbol.asyncDispose]: async () => {
      // One etcd for all suites, and each begins with an empty one.
      const deletePrefixes = ['/t', '/elsewhere/', '\u0001/'];
      await store.commit({ compares: [], puts: [], deletes: [], deletePrefixes }, never);
      await store[Symbol.asyncDispose]();
    },
  };
}

describeStore('etcd in a container', openUnderTest);
describeWatch('etcd in a container', openUnderTest);

describe('etcd with access control', () => {
  async function as(name: string): Promise<EtcdStore> {
    return new EtcdStore({ endpoints: [etcd.endpoint], tls: await etcd.credentials(name), patienceMs: 2_000 });
  }

  it('lets a certificate’s name do what is granted to it, and nothing else', async () => {
    await using weft = await as(WEFT);
    expect(await weft.commit(putting('/weft/v1/o/x'), never)).toMatchObject({ committed: true });
    expect(await weft.count('/weft/v1/', never)).toBe(1);
    await expect(weft.commit(putting('/weft/v2/o/x'), never)).rejects.toThrow(StoreRefused);
    await expect(weft.list('/weft/', never)).rejects.toThrow(StoreRefused);
    const leased = { key: '/weft/v1/h/x', value: bytes('x'), ttlMs: 60_000 };
    expect(await weft.commit({ compares: [], puts: [leased], deletes: [] }, never)).toMatchObject({ committed: true });
    await weft.commit({ compares: [], puts: [], deletes: ['/weft/v1/o/x', leased.key] }, never);
  });

  it('refuses a name that is no user', async () => {
    await using stranger = await as('stranger');
    await expect(stranger.commit(putting('/weft/v1/o/x'), never)).rejects.toThrow(StoreRefused);
  });
});

describe('weft-controller on an etcd in a container', () => {
  const programs = new ControllerPrograms();
  afterAll(async () => {
    await programs[Symbol.asyncDispose]();
  });

  it('loses nothing and makes nothing twice when the container restarts under load', async () => {
    const { ca, cert, key } = await etcd.credentialFiles(WEFT);
    const flags = ['--etcd-endpoints', etcd.endpoint, '--etcd-ca', ca, '--etcd-cert', cert, '--etcd-key', key];
    const directory = join(daemon.directory, 'controller');
    const { child, port } = await programs.start(directory, ...flags);
    using admin = await connect(port, join(directory, 'admin'));

    const working = new AbortController();
    const made: string[] = [];
    /** Makes one network after the other, each until the controller says that it is there. */
    async function worker(name: string): Promise<void> {
      for (let count = 1; !working.signal.aborted; count += 1) {
        const request = { id: newNetworkId(), name: `${name}-${String(count)}` };
        await createUntilDone(admin, request);
        made.push(request.name);
      }
    }
    const workers = ['a', 'b', 'c', 'd'].map(worker);
    await pause(500, never);
    const before = made.length;
    await etcd.container.restart();
    const during = made.length;
    await pause(2_000, never);
    working.abort();
    await Promise.all(workers);

    expect(before).toBeGreaterThan(0);
    expect(made.length).toBeGreaterThan(during);
    expect(await namesOf(admin)).toEqual([...made].sort());
    expect(await endProgram(child, 'SIGTERM')).toBe(0);
    const again = await programs.start(directory, ...flags);
    using anew = await connect(again.port, join(directory, 'admin'));
    expect(await namesOf(anew)).toEqual([...made].sort());
    expect(await endProgram(again.child, 'SIGTERM')).toBe(0);
  }, 90_000);
});

// The last, for good.
describe('an etcd container that is removed', () => {
  it('is gone, and its store does not answer', async () => {
    await using store = new EtcdStore({
      ...{ endpoints: [etcd.endpoint], tls: await etcd.credentials(WEFT) },
      ...{ patienceMs: 300, callTimeoutMs: 300 },
    });
    expect((await store.get('/', never)).entry).toBeUndefined();
    expect(await daemon.containers()).toHaveLength(1);
    await etcd[Symbol.asyncDispose]();
    expect(await daemon.containers()).toEqual([]);
    await expect(store.get('/', never)).rejects.toThrow(StoreUnavailable);
  });
});

/** Asks again for as long as the answer says to. */
async function createUntilDone(admin: TestClient, request: { id: string; name: string }): Promise<void> {
  const create = admin.networks.create.bind(admin.networks);
  const deadline = AbortSignal.timeout(START_MS / 2);
  while (true) {
    try {
      await admin.call(create, CreateNetworkRequest.fromPartial(request), 10_000);
      return;
    } catch (error) {
      // The same request again, with the same id: that is what these answers say to do.
      const again = error instanceof WeftError && ['STORE_UNAVAILABLE', 'CONTENTION'].includes(error.reason);
      if (!again || !(await pause(100, deadline))) throw error;
    }
  }
}

async function namesOf(admin: TestClient): Promise<string[]> {
  const names: string[] = [];
  let pageToken = '';
  do {
    const list = admin.networks.list.bind(admin.networks);
    const page = await admin.call(list, { pageSize: 0, pageToken, minRevision: 0n, filters: [] });
    names.push(...page.networks.map(({ name }) => name));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return names.sort();
}
