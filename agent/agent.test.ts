/** An agent without its controller: the real socket, records on a real disk, a real kernel; the state from memory. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { credentials } from '@grpc/grpc-js';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WeftError } from '../core/errors.js';
import { call, type UnaryMethod } from '../proto/call.js';
import { EndpointState } from '../proto/gen/weft/v1/endpoint.js';
import { Attachment, CreateSandboxRequest, SandboxServiceClient, SandboxState } from '../proto/gen/weft/v1/sandbox.js';
import { overlayDriver } from './drivers/overlay/overlay.js';
import { createNetns, deleteNetns, listNetns, removeNetnsDirectory } from './kernel/namespace.js';
import { runIn } from './kernel/testing.js';
import { Reconciler } from './reconcile/reconciler.js';
import { EndpointCalls } from './runtimes/endpoint-calls.js';
import { SandboxKeeper } from './runtimes/keeper.js';
import { LocalApi } from './runtimes/local-api/local-api.js';
import { TestController } from './runtimes/controller.testing.js';
import { SandboxFiles } from './sandbox/files.js';
import { SandboxRegistry } from './sandbox/registry.js';
import { hostId, testEndpoint, testNetwork, testPeer } from './state/testing.js';
import { LinuxKernel } from './tables/linux-kernel.js';
import { sandboxNamespace } from './tables/namespace-names.js';

const log = pino({ level: 'silent' });
const FACTS = { hostId: hostId(1), name: 'h1', number: 1, vtep: testPeer(1).vtep, underlayMtu: 1500 };

/** The agent's parts as run.ts joins them. */
class TestAgent implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #kernel: LinuxKernel;
  readonly #reconciler: Reconciler;
  readonly #keeper: SandboxKeeper;
  readonly api: LocalApi;
  readonly client: SandboxServiceClient;

  constructor(directory: string, netns: string, controller: TestController) {
    const registry = SandboxRegistry.open(path.join(directory, 'state'));
    const files = new SandboxFiles(path.join(directory, 'run'));
    const kernel = new LinuxKernel({ directory: netns, hostNetns: path.join(directory, 'underlay', 'h1') });
    const reconciler = new Reconciler({
      kernel,
      drivers: [overlayDriver],
      companions: [(state) => files.update(state.sandboxes)],
      input: () => ({ known: controller.sync.value.known, facts: FACTS, sandboxes: registry.sandboxes }),
      log,
    });
    const kick = (): void => {
      reconciler.kick();
    };
    const keeper = new SandboxKeeper({
      hostId: FACTS.hostId,
      registry,
      files,
      calls: new EndpointCalls({ controller, sync: controller.sync }),
      sync: controller.sync,
      settled: reconciler.settled,
      kick,
      netnsOf: (name) => kernel.pathOf(sandboxNamespace(name)),
      log,
      signal: this.#stop.signal,
    });
    keeper.start();
    const following = controller.sync.subscribe(kick);
    this.#stop.signal.addEventListener('abort', () => {
      following[Symbol.dispose]();
    });
    reconciler.settled.subscribe((settled) => {
      controller.hear(settled);
    });
    reconciler.start();
    [this.#kernel, this.#reconciler, this.#keeper] = [kernel, reconciler, keeper];
    this.api = new LocalApi({ sandboxes: keeper, runDirectory: path.join(directory, 'run'), log });
    this.client = new SandboxServiceClient(`unix:${this.api.socket}`, credentials.createInsecure());
  }

  async ask<Q, A>(method: UnaryMethod<Q, A>, request: Q, timeoutMs = 10_000): Promise<A> {
    return call(method.bind(this.client), request, {
      signal: AbortSignal.timeout(timeoutMs),
      timeoutMs,
      requestId: 'test',
      peer: { name: 'the agent', unavailable: 'AGENT_UNAVAILABLE' },
    });
  }

  create(name: string, ...networks: string[]) {
    const attachments = networks.map((network) => Attachment.fromPartial({ network }));
    return this.ask(this.client.create.bind(this.client), CreateSandboxRequest.fromPartial({ name, attachments }));
  }

  connect(name: string, network: string, timeoutMs?: number) {
    const request = { name, attachment: Attachment.fromPartial({ network }), wait: false };
    return this.ask(this.client.connect.bind(this.client), request, timeoutMs);
  }

  async get(name: string) {
    return (await this.ask(this.client.get.bind(this.client), { name })).sandbox;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.client.close();
    await this.api[Symbol.asyncDispose]();
    await this.#keeper.stopped();
    this.#reconciler[Symbol.dispose]();
    this.#kernel[Symbol.dispose]();
  }
}

let directory = '';
let netns = '';
let controller = new TestController([]);
beforeEach(() => {
  directory = mkdtempSync('/run/weft-agent-test-');
  netns = path.join(directory, 'netns');
  createNetns(path.join(directory, 'underlay', 'h1'));
  controller = new TestController([testNetwork(1), testNetwork(2)]);
});
afterEach(() => {
  for (const { path: file } of listNetns(netns, '')) deleteNetns(file);
  removeNetnsDirectory(netns);
  deleteNetns(path.join(directory, 'underlay', 'h1'));
  removeNetnsDirectory(path.join(directory, 'underlay'));
  rmSync(directory, { recursive: true, force: true });
});

async function start(): Promise<TestAgent> {
  const agent = new TestAgent(directory, netns, controller);
  await agent.api.start();
  return agent;
}

const namespaces = (): string[] => listNetns(netns, '').map(({ name }) => name);
const refusal = (promise: Promise<unknown>): Promise<WeftError> =>
  promise.then(
    () => {
      throw new Error('it was not refused');
    },
    (error: unknown) => error as WeftError,
  );
const interfaces = (name: string): string[] =>
  (JSON.parse(runIn(path.join(netns, sandboxNamespace(name)), ['ip', '-j', 'link'])) as { ifname: string }[]).map(
    ({ ifname }) => ifname,
  );

describe('the agent’s socket', () => {
  it('makes sandboxes that work, shows them, and removes them without a trace', async () => {
    await using agent = await start();
    const { sandbox, revision } = await agent.create('a', 'net1');
    expect(sandbox?.state).toBe(SandboxState.SANDBOX_STATE_READY);
    expect(revision).toBeGreaterThan(0n);
    await agent.create('b', 'net1', 'net2');
    const inA = path.join(netns, 'weft-s-a');
    const other = (await agent.get('b'))?.endpoints.find(({ networkId }) => networkId === testNetwork(1).id);
    expect(other?.state).toBe(EndpointState.ENDPOINT_STATE_READY);
    for (const address of other?.addresses ?? []) runIn(inA, ['ping', '-c1', '-W1', address]);
    expect(interfaces('b')).toEqual(['lo', 'eth0', 'eth1']);
    expect((await agent.get('b'))?.networks).toEqual(['net1', 'net2']);
    const listed = await agent.ask(agent.client.list.bind(agent.client), {});
    expect(listed.sandboxes.map(({ name }) => name)).toEqual(['a', 'b']);
    for (const name of ['a', 'b']) {
      await agent.ask(agent.client.delete.bind(agent.client), { name, wait: false });
    }
    expect(controller.own).toEqual([]);
    expect(namespaces()).toEqual([]);
  });

  it('connects and disconnects, and waits for others where asked to', async () => {
    await using agent = await start();
    await agent.create('a');
    expect(interfaces('a')).toEqual(['lo']);
    const { endpoint, revision } = await agent.connect('a', 'net1');
    expect(endpoint?.addresses).toHaveLength(2);
    expect(interfaces('a')).toEqual(['lo', 'eth0']);
    expect((await refusal(agent.connect('a', 'net1'))).reason).toBe('ALREADY_CONNECTED');
    const request = { name: 'a', network: testNetwork(1).id, wait: true };
    const gone = await agent.ask(agent.client.disconnect.bind(agent.client), request);
    expect(gone.revision).toBeGreaterThan(revision);
    expect(controller.waits).toEqual([gone.revision]);
    expect(interfaces('a')).toEqual(['lo']);
    expect((await refusal(agent.ask(agent.client.disconnect.bind(agent.client), request))).reason).toBe(
      'NOT_CONNECTED',
    );
  });

  it('takes back everything of a request that is refused half way', async () => {
    await using agent = await start();
    controller.refusals.push(undefined, 'ADDRESSES_EXHAUSTED');
    expect((await refusal(agent.create('a', 'net1', 'net2'))).reason).toBe('ADDRESSES_EXHAUSTED');
    expect(controller.own).toEqual([]);
    expect(namespaces()).toEqual([]);
    await agent.create('a', 'net1');
    expect((await refusal(agent.connect('a', 'net3'))).reason).toBe('NETWORK_NOT_FOUND');
    const sandbox = await agent.get('a');
    expect([sandbox?.state, sandbox?.endpoints.length, sandbox?.problems]).toEqual([
      SandboxState.SANDBOX_STATE_READY,
      1,
      [],
    ]);
    for (const name of ['a', 'A']) expect((await refusal(agent.create(name))).reason).toBe('SANDBOX_EXISTS');
    expect((await refusal(agent.get('z'))).reason).toBe('SANDBOX_NOT_FOUND');
  });

  it('tries again what passes by itself', async () => {
    await using agent = await start();
    controller.refusals.push('SESSION_STALE', 'STORE_UNAVAILABLE', 'CONTENTION');
    expect((await agent.create('a', 'net1')).sandbox?.state).toBe(SandboxState.SANDBOX_STATE_READY);
  });

  it('says in time that no controller answers, and takes back later what was begun', async () => {
    await using agent = await start();
    await agent.create('a');
    controller.isMute = true;
    // The agent's own answer, not the client's deadline, which would blame the agent.
    expect(await refusal(agent.connect('a', 'net1', 3_000))).toMatchObject({
      reason: 'TIMED_OUT',
      message: 'no answer',
    });
    controller.isMute = false;
    await expect
      .poll(async () => (await agent.get('a'))?.state, { timeout: 10_000 })
      .toBe(SandboxState.SANDBOX_STATE_READY);
    expect(controller.own).toEqual([]);
  });

  it('says in the kernel’s words why a record cannot be written, and makes nothing', async () => {
    await using agent = await start();
    rmSync(path.join(directory, 'state', 'sandboxes'), { recursive: true });
    const error = await refusal(agent.create('a', 'net1'));
    expect([error.reason, error.message]).toEqual(['KERNEL_FAILED', expect.stringContaining('ENOENT')]);
    expect([namespaces(), controller.own]).toEqual([[], []]);
  });

  it('names every field that is wrong', async () => {
    await using agent = await start();
    const attachment = Attachment.fromPartial({
      network: 'net 1',
      addresses: ['10.1.0.5', '10.1.0.6', 'x'],
      mac: '01:00:00:00:00:00',
      aliases: ['fine', '-'],
    });
    const error = await refusal(
      agent.ask(agent.client.create.bind(agent.client), { name: '../a', attachments: [attachment], wait: false }),
    );
    expect(error.reason).toBe('ARGUMENT_INVALID');
    expect(error.violations.map(({ field }) => field)).toEqual([
      'name',
      'attachments[0].network',
      'attachments[0].aliases[1]',
      'attachments[0].addresses[1]',
      'attachments[0].addresses[2]',
      'attachments[0].mac',
    ]);
  });

  it('is root’s alone; a dead agent’s is replaced, a living one’s is not', async () => {
    {
      await using agent = await start();
      expect(statSync(agent.api.socket).mode & 0o777).toBe(0o600);
      expect(statSync(path.dirname(agent.api.socket)).mode & 0o777).toBe(0o700);
      const second = new LocalApi({ sandboxes: {} as never, runDirectory: path.join(directory, 'run'), log });
      await expect(second.start()).rejects.toThrow('another agent answers');
    }
    const stale = createServer().listen(path.join(directory, 'run', 'agent.sock'));
    await once(stale, 'listening');
    // As kill -9 leaves it: a file nobody listens behind.
    writeFileSync(path.join(directory, 'run', 'keep'), '');
    stale.close();
    writeFileSync(path.join(directory, 'run', 'agent.sock'), '');
    await using agent = await start();
    await agent.create('a');
  });
});

describe('an agent that was interrupted', () => {
  it('carries on under the same ids', async () => {
    {
      await using agent = await start();
      await agent.create('a', 'net1');
      await agent.create('b', 'net1');
    }
    const [a, b] = controller.own;
    const registry = SandboxRegistry.open(path.join(directory, 'state'));
    const record = registry.get('a');
    const [attachment] = record?.attachments ?? [];
    if (record === undefined || attachment === undefined || a === undefined || b === undefined)
      throw new Error('no record');
    // As after a kill between the record and the controller's answer, and in the middle of a removal.
    controller.endpoints.delete(a.id);
    await registry.put({ ...record, attachments: [{ ...attachment, state: 'wanted' }] });
    const other = registry.get('b');
    if (other !== undefined) await registry.put({ ...other, state: 'removing' });
    controller.publish();
    await using agent = await start();
    await expect.poll(() => namespaces(), { timeout: 5000 }).toEqual(['weft-n-000000010002', 'weft-s-a']);
    await expect.poll(async () => (await agent.get('a'))?.state).toBe(SandboxState.SANDBOX_STATE_READY);
    expect(controller.own.map(({ id }) => id)).toEqual([a.id]);
  });

  it('shows what is refused for good, and does not try it for ever', async () => {
    {
      await using agent = await start();
      await agent.create('a', 'net1');
    }
    const registry = SandboxRegistry.open(path.join(directory, 'state'));
    const record = registry.get('a');
    if (record === undefined) throw new Error('no record');
    controller.endpoints.clear();
    await registry.put({ ...record, attachments: record.attachments.map((one) => ({ ...one, state: 'wanted' })) });
    controller.publish();
    controller.refusals.push('ADDRESSES_EXHAUSTED');
    await using agent = await start();
    await expect
      .poll(async () => (await agent.get('a'))?.problems)
      .toEqual(['network net1: refused: ADDRESSES_EXHAUSTED']);
    expect((await agent.get('a'))?.state).toBe(SandboxState.SANDBOX_STATE_PENDING);
  });
});

describe('a restored cluster', () => {
  it('keeps what it has under its ids; what it lacks is made again under another, and says so until then', async () => {
    await using agent = await start();
    await agent.create('a', 'net1', 'net2');
    const [kept, lost] = controller.own;
    controller.refusals.push(...Array.from({ length: 12 }, () => 'HOSTS_UNDECLARED' as const));
    controller.restore('e2', ({ id }) => id === kept?.id);
    await expect
      .poll(async () => (await agent.get('a'))?.problems)
      .toEqual([expect.stringContaining('network net2: the cluster was restored')]);
    expect(interfaces('a')).toEqual(['lo', 'eth0']);
    await expect
      .poll(async () => (await agent.get('a'))?.state, { timeout: 15_000 })
      .toBe(SandboxState.SANDBOX_STATE_READY);
    expect((await agent.get('a'))?.problems).toEqual([]);
    expect(interfaces('a')).toEqual(['lo', 'eth0', 'eth1']);
    expect(controller.own.map(({ id }) => id)).toContain(kept?.id);
    expect(controller.own.map(({ id }) => id)).not.toContain(lost?.id);
    // Revisions count anew: what somebody removes now is forgotten, although the old ones were higher.
    const epochs = () =>
      SandboxRegistry.open(path.join(directory, 'state'))
        .get('a')
        ?.attachments.map((one) => one.epoch);
    await expect.poll(epochs).toEqual(['e2', 'e2']);
    for (const { id } of controller.own) await controller.deleteEndpoint(id);
    await expect.poll(async () => (await agent.get('a'))?.endpoints).toEqual([]);
    await expect.poll(() => controller.own).toEqual([]);
    await agent.create('b', 'net1');
    await agent.ask(agent.client.delete.bind(agent.client), { name: 'b', wait: false });
  });

  it('that has again what was just being removed has it removed again', async () => {
    await using agent = await start();
    await agent.create('a', 'net1');
    const [before] = controller.own;
    if (before === undefined) throw new Error('it has an endpoint');
    const hear = controller.hear.bind(controller);
    controller.hear = () => undefined;
    const removed = agent.ask(agent.client.delete.bind(agent.client), { name: 'a', wait: false });
    await expect.poll(() => controller.own.map(({ state }) => state)).toEqual(['removing']);
    controller.endpoints.set(before.id, { ...before, state: 'ready' });
    controller.hear = hear;
    controller.restore('e2', () => true);
    await removed;
    expect(controller.own).toEqual([]);
    expect(namespaces()).toEqual([]);
  });

  it('without the network says so, and keeps the rest', async () => {
    await using agent = await start();
    await agent.create('a', 'net1', 'net2');
    controller.refusals.push(...Array.from({ length: 9 }, () => 'NETWORK_NOT_FOUND' as const));
    controller.restore('e2', ({ networkId }) => networkId === testNetwork(1).id);
    await expect
      .poll(async () => (await agent.get('a'))?.problems)
      .toEqual([expect.stringContaining('restored'), 'network net2: refused: NETWORK_NOT_FOUND']);
    expect((await agent.get('a'))?.state).toBe(SandboxState.SANDBOX_STATE_PENDING);
    expect(interfaces('a')).toEqual(['lo', 'eth0']);
    const request = { name: 'a', network: 'net2', wait: false };
    await agent.ask(agent.client.disconnect.bind(agent.client), request);
    expect((await agent.get('a'))?.state).toBe(SandboxState.SANDBOX_STATE_READY);
  });
});

describe('what others do to this host’s endpoints', () => {
  it('is followed: wishes are attached, and what was removed elsewhere goes', async () => {
    await using agent = await start();
    await agent.create('a');
    const wish = testEndpoint({ network: 1, endpoint: 7, host: 1, sandbox: 'a' });
    controller.put(wish);
    await expect.poll(() => controller.endpoints.get(wish.id)?.state).toBe('ready');
    expect(interfaces('a')).toEqual(['lo', 'eth0']);
    await controller.deleteEndpoint(wish.id);
    await expect.poll(() => controller.own).toEqual([]);
    expect(interfaces('a')).toEqual(['lo']);
    await expect.poll(async () => (await agent.get('a'))?.state).toBe(SandboxState.SANDBOX_STATE_READY);
    expect((await agent.get('a'))?.endpoints).toEqual([]);
  });
});
