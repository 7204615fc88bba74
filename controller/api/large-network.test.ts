/** A network that no gRPC message could carry, over a real stream. */
import { afterEach, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';
import { fold } from '../../core/fold.js';
import { newEndpointId, newHostId } from '../../core/ids.js';
import { randomMac } from '../../core/mac.js';
import type { Endpoint } from '../../core/model.js';
import { CHANNEL_OPTIONS } from '../../proto/channel.js';
import { FrameReader } from '../../proto/frame.js';
import { NetworkFrame } from '../../proto/gen/weft/v1/agent_sync.js';
import { putEndpoint } from '../cache/objects.js';
import { Operator } from '../domain/network.testing.js';
import { MemoryStore } from '../store/memory.js';
import { openController, type Harness } from '../testing.js';

const NEVER = new AbortController().signal;
const ENDPOINTS = 6_000;
/** As many labels as an endpoint may have, nearly. */
const LABELS = Object.fromEntries(Array.from({ length: 15 }, (_, at) => [`label-${String(at)}`, 'x'.repeat(1_000)]));

let harness: Harness | undefined;
afterEach(() => harness?.[Symbol.asyncDispose]());

it('a host learns a network of more than 64 MiB, in parts of a mebibyte', async () => {
  const store = new MemoryStore();
  harness = await openController(store);
  const { brain } = harness;
  const hostId = newHostId();
  const h1 = await harness.client({ role: 'host', name: 'h1' });
  const before = h1.agent({ hostId, vtep: '192.0.2.1' });
  await before.inSync();
  before.close();
  const network = await new Operator(brain).create({ name: 'web' });
  let revision = 0n;
  for (let at = 0; at < ENDPOINTS; at += 60) {
    const some = Array.from({ length: 60 }, (_, each) => putEndpoint(make(at + each)));
    ({ revision } = await store.commit({ compares: [], puts: some, deletes: [] }, NEVER));
  }
  await brain.cache.atLeast(revision, NEVER);

  const agent = h1.agent({ hostId, vtep: '192.0.2.1' });
  const messages = await agent.inSync(revision);
  const frames = messages.flatMap((message) => (message.$case === 'frame' ? [message.value] : []));
  const sizes = frames.map((frame) => NetworkFrame.encode(frame).finish().length);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  expect(bytes).toBeGreaterThan(CHANNEL_OPTIONS['grpc.max_receive_message_length'] ?? Infinity);
  expect(Math.max(...sizes)).toBeLessThan(1024 * 1024 + 100);
  const reader = new FrameReader();
  const view = fold(
    new Map(),
    frames.flatMap((frame) => reader.read(frame) ?? []),
  );
  expect(view.get(network.id)?.endpoints).toEqual(brain.cache.view.endpointsOf(network.id));
  expect(view.get(network.id)?.endpoints.size).toBe(ENDPOINTS);
  agent.close();

  function make(number: number): Endpoint {
    const address = parseIp(`10.9.${String(number >> 8)}.${String(number & 255)}`);
    if (address === undefined) throw new RangeError('no address');
    const sandbox = `s${String(number)}`;
    return {
      ...{ id: newEndpointId(), networkId: network.id, hostId, sandbox, name: sandbox, aliases: [] },
      ...{ addresses: [address], mac: randomMac(), labels: LABELS, state: 'ready', revision: 0n },
      ...{ requestId: '', createRevision: 0n, createTimeMs: 0 },
    };
  }
}, 60_000);
