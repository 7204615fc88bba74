import { EventEmitter, once } from 'node:events';
import {
  credentials,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerReadableStream,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { REQUEST_ID_KEY, type CallContext } from './call.js';
import {
  ClusterServiceClient,
  ClusterServiceService,
  RestoreResponse,
  type BackupRequest,
  type BackupResponse,
  type RestoreRequest,
} from './gen/weft/v1/cluster.js';
import { encodeStatus } from './status.js';
import { download, upload } from './stream-call.js';

const CHUNK = Buffer.alloc(64 * 1024, 7);

describe('streaming calls', () => {
  let server: Server;
  let client: ClusterServiceClient;
  let onBackup: (call: ServerWritableStream<BackupRequest, BackupResponse>) => void;
  let onRestore: (
    call: ServerReadableStream<RestoreRequest, RestoreResponse>,
    done: sendUnaryData<RestoreResponse>,
  ) => void;
  let context: CallContext;

  beforeEach(async () => {
    context = {
      ...{ signal: new AbortController().signal, timeoutMs: 10_000, requestId: 'r1' },
      peer: { name: 'the controller', unavailable: 'CONTROLLER_UNAVAILABLE' },
    };
    server = new Server();
    server.addService(ClusterServiceService, {
      backup: (call: ServerWritableStream<BackupRequest, BackupResponse>) => {
        onBackup(call);
      },
      restore: (call: ServerReadableStream<RestoreRequest, RestoreResponse>, done: sendUnaryData<RestoreResponse>) => {
        onRestore(call, done);
      },
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

  async function backup(overrides: Partial<CallContext> = {}): Promise<number> {
    let bytes = 0;
    for await (const { data } of download(client.backup.bind(client), {}, { ...context, ...overrides })) {
      bytes += data.length;
    }
    return bytes;
  }

  const REFUSAL = new WeftError({ reason: 'BACKUP_INVALID', message: 'the file cannot be restored: so it is' });

  it('a download arrives whole, under its request id', async () => {
    const seen: unknown[] = [];
    onBackup = (call) => {
      seen.push(...call.metadata.get(REQUEST_ID_KEY));
      for (let n = 0; n < 100; n += 1) call.write({ data: CHUNK });
      call.end();
    };
    expect(await backup()).toBe(100 * CHUNK.length);
    expect(seen).toEqual(['r1']);
  });

  it('a download that is refused, late, or interrupted is a WeftError', async () => {
    onBackup = (call) => {
      call.write({ data: CHUNK });
      call.emit('error', encodeStatus(REFUSAL));
    };
    await expect(backup()).rejects.toMatchObject({ reason: 'BACKUP_INVALID', message: REFUSAL.message });
    onBackup = (call) => void call.write({ data: CHUNK });
    await expect(backup({ timeoutMs: 200 })).rejects.toMatchObject({ reason: 'TIMED_OUT' });
    await expect(backup({ signal: AbortSignal.timeout(200) })).rejects.toMatchObject({ cause: { code: 1 } });
  });

  it('leaving a download early ends the call', async () => {
    const cancelled = new Promise<void>((resolve) => {
      onBackup = (call) => {
        call.write({ data: CHUNK });
        call.once('cancelled', resolve);
      };
    });
    for await (const { data } of download(client.backup.bind(client), {}, context)) {
      expect(data).toHaveLength(CHUNK.length);
      break;
    }
    await cancelled;
  });

  async function* chunks(count: number, onEach: () => void = () => undefined): AsyncGenerator<RestoreRequest> {
    for (let n = 0; n < count; n += 1) {
      onEach();
      yield { data: CHUNK };
    }
  }

  it('an upload arrives whole, and brings the answer', async () => {
    onRestore = (call, done) => {
      let bytes = 0;
      call.on('data', ({ data }: RestoreRequest) => (bytes += data.length));
      call.once('end', () => {
        done(null, RestoreResponse.fromPartial({ epoch: 'e2', revision: BigInt(bytes) }));
      });
    };
    const answer = await upload(client.restore.bind(client), chunks(300), context);
    expect(answer).toMatchObject({ epoch: 'e2', revision: BigInt(300 * CHUNK.length) });
  });

  it('an upload that is refused in the middle is not sent to its end', async () => {
    onRestore = (_, done) => {
      done(encodeStatus(REFUSAL));
    };
    let sent = 0;
    const all = chunks(100_000, () => (sent += 1));
    await expect(upload(client.restore.bind(client), all, context)).rejects.toMatchObject({ reason: 'BACKUP_INVALID' });
    expect(sent).toBeLessThan(100_000);
  });

  it('an upload whose source fails ends with the source’s error', async () => {
    const begun = new EventEmitter();
    const cancelled = new Promise<void>((resolve) => {
      onRestore = (call) => {
        begun.emit('begun');
        call.resume();
        call.once('cancelled', resolve);
      };
    });
    const arrived = once(begun, 'begun');
    async function* broken(): AsyncGenerator<RestoreRequest> {
      yield* chunks(2);
      await arrived;
      throw new Error('EIO');
    }
    await expect(upload(client.restore.bind(client), broken(), context)).rejects.toThrow('EIO');
    await cancelled;
  });
});
