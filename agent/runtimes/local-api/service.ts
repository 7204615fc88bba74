/** SandboxService: the socket's requests as calls of `Sandboxes`, and the answers back. */
import { randomUUID } from 'node:crypto';
import type { handleUnaryCall, ServerUnaryCall } from '@grpc/grpc-js';
import type { Logger } from '../../../core/daemon/log.js';
import { WeftError } from '../../../core/errors.js';
import { withDeadline } from '../../../core/lifetime.js';
import { REQUEST_ID_KEY } from '../../../proto/call.js';
import { encodeEndpoint } from '../../../proto/codec.js';
import { SandboxState, type Sandbox, type SandboxServiceServer } from '../../../proto/gen/weft/v1/sandbox.js';
import { encodeStatus } from '../../../proto/status.js';
import type { Asked, SandboxInfo, Sandboxes } from '../adapter.js';
import { Checks } from './requests.js';

/** Milliseconds a call may take when its client named no deadline, and at most. */
const DEFAULT_MS = 60_000;
const MAX_MS = 600_000;
/** How long before the client's deadline it is answered, as a share and at most: the undo and the answer take time. */
const MARGIN_SHARE = 0.1;
const MARGIN_MS = 1_000;

const STATES: Readonly<Record<SandboxInfo['state'], SandboxState>> = {
  pending: SandboxState.SANDBOX_STATE_PENDING,
  ready: SandboxState.SANDBOX_STATE_READY,
  removing: SandboxState.SANDBOX_STATE_REMOVING,
};

/** The service's methods for grpc-js. */
export function sandboxService(sandboxes: Sandboxes, log: Logger): SandboxServiceServer {
  const unary = <Request, Response>(
    method: string,
    handler: (request: Request, asked: Omit<Asked, 'wait'>) => Promise<Response> | Response,
  ): handleUnaryCall<Request, Response> => serve(log, method, handler);
  return {
    create: unary('Create', async ({ name, attachments, wait }, asked) => {
      const checks = new Checks();
      checks.name('name', name);
      const joins = checks.joins('attachments', attachments);
      checks.done();
      const { value, revision } = await sandboxes.create(name, joins, { ...asked, wait });
      return { sandbox: encodeSandbox(value), revision };
    }),
    get: unary('Get', ({ name }) => {
      checkName(name);
      return { sandbox: encodeSandbox(sandboxes.get(name)) };
    }),
    list: unary('List', () => ({ sandboxes: sandboxes.list().map(encodeSandbox) })),
    delete: unary('Delete', async ({ name, wait }, asked) => {
      checkName(name);
      return { revision: await sandboxes.remove(name, { ...asked, wait }) };
    }),
    connect: unary('Connect', async ({ name, attachment, wait }, asked) => {
      const checks = new Checks();
      checks.name('name', name);
      const join = checks.join('attachment', attachment);
      checks.done();
      const { value, revision } = await sandboxes.connect(name, join, { ...asked, wait });
      return { endpoint: encodeEndpoint(value), revision };
    }),
    disconnect: unary('Disconnect', async ({ name, network, wait }, asked) => {
      const checks = new Checks();
      checks.name('name', name);
      checks.network('network', network);
      checks.done();
      return { revision: await sandboxes.disconnect(name, network, { ...asked, wait }) };
    }),
  };
}

function checkName(name: string): void {
  const checks = new Checks();
  checks.name('name', name);
  checks.done();
}

/** What surrounds every call: its id, its time, and errors as the one table has them. */
function serve<Request, Response>(
  log: Logger,
  method: string,
  handler: (request: Request, asked: Omit<Asked, 'wait'>) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(call.metadata.get(REQUEST_ID_KEY)[0]);
    const gone = new AbortController();
    call.once('cancelled', () => {
      gone.abort();
    });
    const signal = withDeadline(allowedMs(call), gone.signal);
    const asked = { principal: { role: 'admin' as const }, signal, requestId };
    const facts = () => ({ requestId, method, ms: Math.round(performance.now() - startedAt) });
    Promise.resolve()
      .then(() => handler(call.request, asked))
      .then(
        (response) => {
          log.info(facts(), 'answered');
          callback(null, response);
        },
        (error: unknown) => {
          const refusal = refusalOf(error, requestId);
          if (refusal.reason === 'INTERNAL') log.error({ ...facts(), err: error }, 'failed');
          else log.info({ ...facts(), reason: refusal.reason, refusal: refusal.message }, 'refused');
          callback(encodeStatus(refusal));
        },
      );
  };
}

function refusalOf(error: unknown, requestId: string): WeftError {
  if (error instanceof WeftError) return error;
  // A file of ours could not be written (a full disk, say): the kernel's words tell more than "internal" does.
  if (error instanceof Error && 'syscall' in error && 'errno' in error) {
    return new WeftError({ reason: 'KERNEL_FAILED', message: `this host cannot: ${error.message}` }, { cause: error });
  }
  const message = `internal error; the agent's log has it under request ${requestId}`;
  return new WeftError({ reason: 'INTERNAL', message }, { cause: error });
}

function allowedMs(call: Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline'>): number {
  const deadline = call.getDeadline();
  const until = deadline instanceof Date ? deadline.getTime() : deadline;
  if (!Number.isFinite(until)) return DEFAULT_MS;
  const left = until - Date.now();
  return Math.max(0, Math.min(MAX_MS, left - Math.min(MARGIN_MS, left * MARGIN_SHARE)));
}

/** The client's id for the request where it is one that logs can carry. */
function requestIdOf(given: unknown): string {
  return typeof given === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(given) ? given : randomUUID();
}

function encodeSandbox(sandbox: SandboxInfo): Sandbox {
  const { name, netns, state, endpoints, networks, resolvConf, hosts, problems } = sandbox;
  return {
    name,
    netns,
    state: STATES[state],
    endpoints: endpoints.map(encodeEndpoint),
    resolvConfPath: resolvConf,
    hostsPath: hosts,
    problems: [...problems],
    networks: [...networks],
  };
}
