/**
 * A lab's APIs from the test's own process: where a story is told a hundred times, starting `weft` for each call would be
 * most of the time. Agents are reached at their socket; the controller through a forwarder on its machine, since the
 * test has no way into the underlay.
 */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { credentials, type Channel, type ChannelCredentials } from '@grpc/grpc-js';
import { pause } from '../../core/lifetime.js';
import { WeftError } from '../../core/errors.js';
import { call, type UnaryMethod } from '../../proto/call.js';
import { loadCredentials, openChannel } from '../../proto/channel.js';
import { ClusterServiceClient } from '../../proto/gen/weft/v1/cluster.js';
import { EndpointServiceClient, ListEndpointsRequest, type Endpoint } from '../../proto/gen/weft/v1/endpoint.js';
import { NetworkServiceClient } from '../../proto/gen/weft/v1/network.js';
import { SandboxServiceClient } from '../../proto/gen/weft/v1/sandbox.js';
import type { Lab } from '../lab/lab.js';
import { AGENT_SOCKET, CONTROLLER_PORT } from '../lab/layout.js';
import type { LabProcess } from '../lab/process.js';

const TIMEOUT_MS = 30_000;

/** Calls a bound method. Rejects with WeftError, whose cause has gRPC's own code. */
export type Ask = <Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  timeoutMs?: number,
) => Promise<Response>;

export interface AgentClient extends Disposable {
  readonly sandboxes: SandboxServiceClient;
  readonly ask: Ask;
}

/** The agent of a host, as it runs now. After a restart a new client is needed: an old one would wait to reconnect. */
export function openAgent(lab: Lab, host: string): AgentClient {
  const socket = lab.host(host).fromOutside(AGENT_SOCKET);
  const sandboxes = new SandboxServiceClient(`unix:${socket}`, credentials.createInsecure());
  return {
    sandboxes,
    ask: asking({ name: `the agent on ${host}`, unavailable: 'AGENT_UNAVAILABLE' }),
    [Symbol.dispose]: () => {
      sandboxes.close();
    },
  };
}

/** Between a unix socket, which every process of the machine can reach, and the controller, which only its lab can. */
const FORWARDER = `
  const { connect, createServer } = require('node:net');
  const [socket, host, port] = process.argv.slice(1);
  createServer((near) => {
    const far = connect(Number(port), host);
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
      one.pipe(other);
    }
  }).listen(socket);
`;

/** The controller of a lab. It may end and be started again meanwhile. */
export class ControllerClient implements AsyncDisposable {
  readonly #channel: Channel;
  readonly #forwarder: LabProcess;
  readonly networks: NetworkServiceClient;
  readonly endpoints: EndpointServiceClient;
  readonly cluster: ClusterServiceClient;
  readonly ask: Ask = asking({ name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' });

  private constructor(target: string, secrets: ChannelCredentials, forwarder: LabProcess) {
    this.#forwarder = forwarder;
    this.#channel = openChannel(target, secrets);
    const options = { channelOverride: this.#channel };
    this.networks = new NetworkServiceClient('', secrets, options);
    this.endpoints = new EndpointServiceClient('', secrets, options);
    this.cluster = new ClusterServiceClient('', secrets, options);
  }

  /** With the operator's credentials, or those in `tlsDir`. */
  static async open(lab: Lab, tlsDir = lab.credentials): Promise<ControllerClient> {
    const socket = path.join(lab.directory, `api-${randomUUID().slice(0, 8)}.sock`);
    const argv = [process.execPath, '-e', FORWARDER, socket, lab.c1.place.ipv4, String(CONTROLLER_PORT)];
    const forwarder = await lab.c1.spawn(argv, { log: 'forwarder' });
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    while (!existsSync(socket)) {
      if (!forwarder.running) throw new Error(`no way to the controller: ${forwarder.logTail()}`);
      if (!(await pause(5, deadline))) throw new Error('no way to the controller');
    }
    return new ControllerClient(`unix:${socket}`, await loadCredentials(tlsDir), forwarder);
  }

  /** Every endpoint of the cluster. */
  async listEndpoints(): Promise<readonly Endpoint[]> {
    const request = ListEndpointsRequest.fromPartial({});
    return (await this.ask(this.endpoints.list.bind(this.endpoints), request)).endpoints;
  }

  /**
   * Returns when every host has what the controller has now in its kernel. Rejects with WeftError NOT_CONVERGED, and
   * with CONTROLLER_UNAVAILABLE where no controller hears from a host: the call itself would not wait for it.
   */
  async converged(): Promise<void> {
    const { cluster } = this;
    const { revision } = await this.ask(cluster.getStatus.bind(cluster), {});
    const { unreachableHosts } = await this.ask(cluster.wait.bind(cluster), { revision });
    if (unreachableHosts.length === 0) return;
    const message = `no controller hears from ${unreachableHosts.join(' and ')}`;
    throw new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.close();
    await this.#forwarder.kill();
  }
}

function asking(peer: Parameters<typeof call>[2]['peer']): Ask {
  const signal = new AbortController().signal;
  return (method, request, timeoutMs = TIMEOUT_MS) =>
    call(method, request, { signal, timeoutMs, requestId: randomUUID(), peer });
}
