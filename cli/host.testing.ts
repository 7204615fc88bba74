/** A host without a kernel, for tests: it joins a test controller, and says that it has whatever it is told. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { call, type CallContext } from '../proto/call.js';
import { loadCredentials, openChannel } from '../proto/channel.js';
import { AgentSyncServiceClient, type SyncRequest, type SyncResponse } from '../proto/gen/weft/v1/agent_sync.js';
import { EndpointServiceClient, EndpointState, type Endpoint } from '../proto/gen/weft/v1/endpoint.js';
import type { Network } from '../proto/gen/weft/v1/network.js';
import { CONTROLLER, type TestController } from './controller.testing.js';

const RECONNECT_MS = 100;
const PATIENCE_MS = 10_000;

export interface TestHost extends AsyncDisposable {
  /** Makes an endpoint on this host, as an operator's wish. */
  attach(network: string, sandbox: string, address?: string): Promise<Endpoint>;
  /** Wishes it away; it is gone when this host has confirmed. */
  detach(endpoint: Endpoint): Promise<void>;
}

/** Joins under this name, and returns when the cluster knows the host. `vtep` is its own among the test's hosts. */
export async function joinHost(controller: TestController, name: string, vtep: string): Promise<TestHost> {
  const { directory, env } = controller;
  const tlsDir = path.join(directory, `${name}-tls`);
  const issue = ['issue', '--role', 'host', '--name', name, '--out', tlsDir, '--data-dir', directory];
  await promisify(execFile)(CONTROLLER, issue);
  const target = env.WEFT_CONTROLLER;
  const [own, operators] = await Promise.all([loadCredentials(tlsDir), loadCredentials(env.WEFT_TLS_DIR)]);
  const channels = [openChannel(target, own), openChannel(target, operators)] as const;
  const sync = new AgentSyncServiceClient(target, own, { channelOverride: channels[0] });
  const endpoints = new EndpointServiceClient(target, operators, { channelOverride: channels[1] });
  const agent = new KernellessAgent(sync, vtep);
  await agent.joined;
  const context: CallContext = {
    ...{ signal: new AbortController().signal, timeoutMs: PATIENCE_MS, requestId: randomUUID() },
    peer: { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' },
  };
  return {
    attach: async (network, sandbox, address) => {
      const addresses = address === undefined ? [] : [address];
      const wish = { id: randomUUID(), network, host: name, sandbox, addresses };
      const request = { ...wish, aliases: [], mac: '', labels: {}, session: '' };
      const { endpoint } = await call(endpoints.create.bind(endpoints), request, context);
      if (endpoint === undefined) throw new Error('no endpoint');
      return endpoint;
    },
    detach: async ({ id }) => {
      await call(endpoints.delete.bind(endpoints), { id }, context);
    },
    [Symbol.asyncDispose]: async () => {
      await agent[Symbol.asyncDispose]();
      for (const channel of channels) channel.close();
    },
  };
}

/** Follows the state, and confirms everything at once. Comes back, and declares what it had, when its stream ends. */
class KernellessAgent implements AsyncDisposable {
  readonly #hostId = randomUUID();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #networks = new Map<string, Network>();
  readonly #endpoints = new Map<string, Endpoint>();
  #epoch = '';
  #join: () => void = () => undefined;
  readonly joined = new Promise<void>((resolve) => {
    this.#join = resolve;
  });

  constructor(
    private readonly client: AgentSyncServiceClient,
    private readonly vtep: string,
  ) {
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#stream();
      await sleep(RECONNECT_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One stream, until it ends, however it does. */
  #stream(): Promise<void> {
    const stream = this.client.sync();
    const send = (message: NonNullable<SyncRequest['message']>): void => {
      stream.write({ message });
    };
    const cancel = (): void => {
      stream.cancel();
    };
    this.#stop.signal.addEventListener('abort', cancel, { once: true });
    const hello = {
      hostId: this.#hostId,
      vtep: this.vtep,
      version: '0.1.0',
      epoch: this.#epoch,
      clusterId: '',
      prefixes: undefined,
      resume: undefined,
    };
    send({ $case: 'hello', value: hello });
    return new Promise((resolve) => {
      const end = (): void => {
        this.#stop.signal.removeEventListener('abort', cancel);
        resolve();
      };
      stream.once('error', end);
      stream.once('end', end);
      stream.on('data', ({ message }: SyncResponse) => {
        if (message !== undefined) for (const answer of this.#hear(message)) send(answer);
      });
    });
  }

  #hear(message: NonNullable<SyncResponse['message']>): readonly NonNullable<SyncRequest['message']>[] {
    switch (message.$case) {
      case 'welcome': {
        const { epoch, declare } = message.value;
        this.#epoch = epoch;
        const endpoints = [...this.#endpoints.values()];
        const networks = [...this.#networks.values()];
        return declare ? [{ $case: 'declaration', value: { epoch, networks, more: false, endpoints } }] : [];
      }
      case 'frame':
        this.#learn(message.value.network, message.value.endpoints);
        return [];
      case 'change':
        this.#learn(message.value.network, message.value.putEndpoints);
        for (const id of message.value.dropEndpointIds) this.#endpoints.delete(id);
        return [];
      case 'drop':
        this.#networks.delete(message.value.networkId);
        return [];
      case 'inSync':
        this.#join();
        return [...this.#report(), { $case: 'ack', value: { revision: message.value.revision, notices: [] } }];
      case 'liveness':
      // Nothing is resumed that was not offered.
      case 'replacement':
        return [];
    }
  }

  #learn(network: Network | undefined, endpoints: readonly Endpoint[]): void {
    if (network !== undefined) this.#networks.set(network.id, network);
    for (const endpoint of endpoints) {
      if (endpoint.hostId === this.#hostId) this.#endpoints.set(endpoint.id, endpoint);
    }
  }

  #report(): readonly NonNullable<SyncRequest['message']>[] {
    const idsOf = (state: EndpointState): string[] =>
      [...this.#endpoints.values()].flatMap((endpoint) => (endpoint.state === state ? [endpoint.id] : []));
    const readyEndpointIds = idsOf(EndpointState.ENDPOINT_STATE_PENDING);
    const removedEndpointIds = idsOf(EndpointState.ENDPOINT_STATE_REMOVING);
    for (const id of removedEndpointIds) this.#endpoints.delete(id);
    if (readyEndpointIds.length + removedEndpointIds.length === 0) return [];
    return [{ $case: 'report', value: { readyEndpointIds, removedEndpointIds, leakedEndpointIds: [] } }];
  }
}
