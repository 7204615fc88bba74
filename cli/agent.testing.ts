/** The agent's seam for tests: a SandboxService on a unix socket that keeps sandboxes in memory and networks nowhere. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Server, ServerCredentials, type Metadata, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { WeftError } from '../core/errors.js';
import { REQUEST_ID_KEY } from '../proto/call.js';
import { Endpoint, EndpointState } from '../proto/gen/weft/v1/endpoint.js';
import { Sandbox, SandboxServiceService, SandboxState, type Attachment } from '../proto/gen/weft/v1/sandbox.js';
import { encodeStatus } from '../proto/status.js';

export interface TestAgent extends AsyncDisposable {
  readonly socket: string;
  readonly sandboxes: Map<string, Sandbox>;
  /** Every call in order: its method, its request, and the request id in its metadata. */
  readonly calls: { readonly method: string; readonly request: unknown; readonly requestId: string }[];
  /** Where set, every call of this method is refused with the error. */
  readonly refusals: Map<string, WeftError>;
  /** Methods that never answer. */
  readonly silent: Set<string>;
}

export async function startTestAgent(): Promise<TestAgent> {
  const directory = mkdtempSync(path.join(tmpdir(), 'weft-cli-'));
  const socket = path.join(directory, 'agent.sock');
  const agent = {
    socket,
    sandboxes: new Map<string, Sandbox>(),
    calls: [] as TestAgent['calls'],
    refusals: new Map<string, WeftError>(),
    silent: new Set<string>(),
  };
  const find = (name: string): Sandbox => {
    const sandbox = agent.sandboxes.get(name);
    if (sandbox === undefined) {
      throw new WeftError({ reason: 'SANDBOX_NOT_FOUND', message: `there is no sandbox ${name} on this host` });
    }
    return sandbox;
  };
  const handle =
    <Request, Response>(method: string, body: (request: Request) => Response) =>
    ({ request, metadata }: ServerUnaryCall<Request, Response>, done: sendUnaryData<Response>): void => {
      agent.calls.push({ method, request, requestId: requestIdOf(metadata) });
      if (agent.silent.has(method)) return;
      try {
        const refusal = agent.refusals.get(method);
        if (refusal !== undefined) throw refusal;
        done(null, body(request));
      } catch (error) {
        const told = error instanceof WeftError ? error : new WeftError({ reason: 'INTERNAL', message: String(error) });
        done(encodeStatus(told));
      }
    };
  const server = new Server();
  server.addService(SandboxServiceService, {
    create: handle('create', ({ name, attachments }: { name: string; attachments: Attachment[] }) => {
      if (agent.sandboxes.has(name)) {
        throw new WeftError({ reason: 'SANDBOX_EXISTS', message: `there is a sandbox ${name} already` });
      }
      const sandbox = makeSandbox(name, attachments);
      agent.sandboxes.set(name, sandbox);
      return { sandbox, revision: 7n };
    }),
    get: handle('get', ({ name }: { name: string }) => ({ sandbox: find(name) })),
    list: handle('list', () => ({ sandboxes: [...agent.sandboxes.values()] })),
    delete: handle('delete', ({ name }: { name: string }) => {
      find(name);
      agent.sandboxes.delete(name);
      return { revision: 9n };
    }),
    connect: handle('connect', ({ name, attachment }: { name: string; attachment: Attachment | undefined }) => {
      const sandbox = find(name);
      const endpoint = makeEndpoint(name, attachment?.network ?? '', sandbox.endpoints.length);
      sandbox.endpoints.push(endpoint);
      return { endpoint, revision: 8n };
    }),
    disconnect: handle('disconnect', ({ name, network }: { name: string; network: string }) => {
      const sandbox = find(name);
      const at = sandbox.endpoints.findIndex(({ networkId }) => networkId === network);
      if (at < 0) {
        throw new WeftError({ reason: 'NOT_CONNECTED', message: `sandbox ${name} is not connected to ${network}` });
      }
      sandbox.endpoints.splice(at, 1);
      return { revision: 10n };
    }),
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return {
    ...agent,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function requestIdOf(metadata: Metadata): string {
  return String(metadata.get(REQUEST_ID_KEY)[0]);
}

function makeSandbox(name: string, attachments: readonly Attachment[]): Sandbox {
  return Sandbox.fromPartial({
    name,
    netns: `/run/netns/weft-s-${name}`,
    state: SandboxState.SANDBOX_STATE_READY,
    resolvConfPath: `/run/weft/sandboxes/${name}/resolv.conf`,
    hostsPath: `/run/weft/sandboxes/${name}/hosts`,
    endpoints: attachments.map(({ network }, index) => makeEndpoint(name, network, index)),
    networks: attachments.map(({ network }) => network),
  });
}

/** The network's name stands for its id. */
function makeEndpoint(sandbox: string, network: string, index: number): Endpoint {
  return Endpoint.fromPartial({
    id: `00000000-0000-4000-8000-00000000000${String(index)}`,
    networkId: network,
    sandbox,
    name: sandbox,
    addresses: [`10.1.${String(index)}.2`],
    mac: '02:00:00:00:00:01',
    state: EndpointState.ENDPOINT_STATE_READY,
    revision: 7n,
  });
}
