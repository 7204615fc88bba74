import { Server, ServerCredentials, credentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { call } from '../proto/call.js';
import {
  ClusterServiceClient,
  ClusterServiceService,
  GetStatusResponse,
  type WaitRequest,
  type WaitResponse,
} from '../proto/gen/weft/v1/cluster.js';
import { HostState } from '../proto/gen/weft/v1/host.js';
import { encodeStatus } from '../proto/status.js';
import type { Ask } from './ask-any.js';
import { resolveGlobals } from './globals.js';
import { Invocation } from './invocation.js';
import type { Surroundings } from './surroundings.js';
import { testSurroundings } from './surroundings.testing.js';
import { waitFor } from './wait.js';

type WaitHandler = (request: WaitRequest, done: sendUnaryData<WaitResponse>) => void;

const STATUS = GetStatusResponse.fromPartial({
  revision: 45n,
  hosts: [
    { name: 'h1', state: HostState.HOST_STATE_READY, ackedRevision: 45n },
    { name: 'h3', state: HostState.HOST_STATE_READY, ackedRevision: 41n },
  ],
});

describe('waitFor', () => {
  let server: Server;
  let client: ClusterServiceClient;
  let onWait: WaitHandler;

  beforeEach(async () => {
    server = new Server();
    server.addService(ClusterServiceService, {
      getStatus: (_: unknown, done: sendUnaryData<GetStatusResponse>) => done(null, STATUS),
      wait: ({ request }: ServerUnaryCall<WaitRequest, WaitResponse>, done: sendUnaryData<WaitResponse>) =>
        onWait(request, done),
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    client = new ClusterServiceClient(`127.0.0.1:${String(port)}`, credentials.createInsecure());
  });
  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  async function wait(timeout: string, overrides: Partial<Surroundings> = {}): Promise<string> {
    const { surroundings, written } = testSurroundings(overrides);
    const invocation = new Invocation(resolveGlobals({ timeout }, {}, '/root'), surroundings);
    const ask: Ask = (method, request, limits = {}) =>
      call(method, request, {
        signal: limits.signal ?? surroundings.signal,
        timeoutMs: limits.timeoutMs ?? invocation.remainingMs(),
        requestId: 'r',
        peer: { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' },
      });
    await waitFor(invocation, { cluster: client, ask }, 45n);
    return written.stderr;
  }

  it('returns when the controller says so, and names whom it did not wait for', async () => {
    onWait = ({ revision }, done) => done(null, { revision, unreachableHosts: ['h2'] });
    expect(await wait('5')).toBe('weft: not waited for, because unreachable: h2\n');
  });

  it('passes on whom the controller names', async () => {
    const refusal = new WeftError({ reason: 'NOT_CONVERGED', message: 'h3 has 41 of 45' });
    onWait = (_, done) => done(encodeStatus(refusal));
    await expect(wait('5')).rejects.toMatchObject({ reason: 'NOT_CONVERGED', message: 'h3 has 41 of 45' });
  });

  it('asks who is late, where the controller did not get to say it', async () => {
    onWait = () => undefined;
    await expect(wait('0.3')).rejects.toMatchObject({
      reason: 'NOT_CONVERGED',
      message: 'it is done, but 0.3 s were not enough for h3 (acked 41 of 45)',
    });
  });

  it('shows on a terminal whom it waits for', async () => {
    let shown = '';
    const stderr = { write: (text: string) => (shown += text), isTty: true };
    onWait = ({ revision }, done) => setTimeout(done, 1600, null, { revision, unreachableHosts: [] });
    await wait('10', { stderr });
    expect(shown).toBe('\r\u001b[Kwaiting for h3 (acked 41 of 45)...\r\u001b[K');
  });
});
