import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { newHostId, type HostId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { HostAvailability } from '../../proto/gen/weft/v1/host.js';
import { CreateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { decodeStatus } from '../../proto/status.js';
import { Absences } from '../liveness/absences.js';
import { objectKey } from '../store/keys.js';
import { MemoryStore } from '../store/memory.js';
import { SILENT, openController, type Harness, type ScriptedAgent, type TestClient } from '../testing.js';

const LEASE_MS = 1_500;

let harness: Harness;
let admin: TestClient;
const stop = new AbortController();
let clearing: Promise<void>;
const store = new MemoryStore();

beforeAll(async () => {
  harness = await openController(store, { hostLeaseMs: LEASE_MS });
  admin = await harness.client({ role: 'admin', name: 'ops' });
  await admin.call(admin.networks.create.bind(admin.networks), CreateNetworkRequest.fromPartial({ name: 'web' }));
  const { cache, committer } = harness.brain;
  const absences = new Absences({
    ...{ cache, committer, graceMs: 60_000, log: SILENT, isAwaited: () => false },
    ...{ fence: () => ({ kind: 'present', key: objectKey.meta() }), untilConverged: async () => undefined },
  });
  clearing = absences.run(stop.signal);
});

afterAll(async () => {
  stop.abort();
  await clearing;
  await harness[Symbol.asyncDispose]();
});

let serial = 0;
interface Connected {
  readonly id: HostId;
  readonly name: string;
  readonly agent: ScriptedAgent;
  readonly again: () => ScriptedAgent;
}
async function connect(): Promise<Connected> {
  serial += 1;
  const name = `h${String(serial)}`;
  const client = await harness.client({ role: 'host', name });
  const id = newHostId();
  const again = (): ScriptedAgent => client.agent({ hostId: id, vtep: `192.0.2.${name.slice(1)}` });
  const agent = again();
  await agent.session();
  return { id, name, agent, again };
}
const view = () => harness.brain.cache.view;
const remove = (host: string, force = false) => admin.call(admin.hosts.delete.bind(admin.hosts), { host, force });
const wish = (host: string, sandbox: string) =>
  admin.call(
    admin.endpoints.create.bind(admin.endpoints),
    CreateEndpointRequest.fromPartial({ network: 'web', host, sandbox }),
  );
const until = (look: () => void) => vi.waitFor(look, { timeout: 6_000, interval: 10 });
const endOf = async (agent: ScriptedAgent) =>
  decodeStatus((await agent.ended) as never, { name: 'it', unavailable: 'CONTROLLER_UNAVAILABLE' });

describe('a host that is drained', () => {
  it('keeps what it has and takes nothing new, until it is activated', async () => {
    const { name, id, agent } = await connect();
    const before = await wish(name, 'a');
    const drain = () => admin.call(admin.hosts.drain.bind(admin.hosts), { host: name });
    const { revision } = await drain();
    expect(await drain()).toEqual({ revision });
    const { host } = await admin.call(admin.hosts.get.bind(admin.hosts), { host: id, minRevision: 0n });
    expect(host?.availability).toBe(HostAvailability.HOST_AVAILABILITY_DRAINED);
    await expect(wish(name, 'b')).rejects.toMatchObject({ reason: 'HOST_DRAINED' });
    expect(view().endpoints.has(before.endpoint?.id as never)).toBe(true);
    await admin.call(admin.hosts.activate.bind(admin.hosts), { host: name });
    await wish(name, 'b');
    agent.close();
  });
});

describe('a host that is removed', () => {
  it('is neither connected nor has it anything, and is never taken back', async () => {
    const { name, id, agent, again } = await connect();
    await expect(remove(name)).rejects.toMatchObject({ reason: 'HOST_IN_USE', message: /is connected/ });
    agent.close();
    await agent.ended;
    await until(() => {
      expect(view().alive.has(id)).toBe(false);
    });
    await remove(id);
    expect(view().hosts.has(id)).toBe(false);
    expect((await endOf(again())).reason).toBe('HOST_REMOVED');
    await expect(remove(name)).rejects.toMatchObject({ reason: 'HOST_NOT_FOUND' });
    // Its name, tunnel address and number are free, and so is nothing of its id.
    const client = await harness.client({ role: 'host', name });
    const heir = client.agent({ vtep: `192.0.2.${name.slice(1)}` });
    await heir.session();
    heir.close();
  });

  it('by force, is shut out first, and goes when what it had is taken back', async () => {
    const { name, id, agent, again } = await connect();
    const { endpoint } = await wish(name, 'a');
    await expect(remove(name)).rejects.toMatchObject({ reason: 'HOST_IN_USE' });
    await remove(name, true);
    expect((await endOf(agent)).reason).toBe('SESSION_STALE');
    await until(() => {
      expect(view().hosts.has(id)).toBe(false);
    });
    expect(view().endpoints.has(endpoint?.id as never)).toBe(false);
    expect((await endOf(again())).reason).toBe('HOST_REMOVED');
    const left = (await store.list('/weft/v1/g/', new AbortController().signal)).entries.map(({ key }) => key);
    expect(left.filter((key) => key.includes(id))).toEqual([`/weft/v1/g/removed/hosts/${id}`]);
  });
});
