import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { credentials, makeClientConstructor, type Client } from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHANNEL_OPTIONS, CONTROLLER_SERVER_NAME } from '../../proto/channel.js';
import { createCa, issue, type KeyPair } from '../identity/ca.js';
import { MemoryStore } from '../store/memory.js';
import { openController, type Harness } from '../testing.js';

const run = promisify(execFile);

/** The calls of grpc.health.v1.Health, as grpc-js makes them of its definition. */
interface HealthClient extends Client {
  check(request: { service: string }, done: (error: Error | null, answer?: { status: string }) => void): void;
  watch(request: { service: string }): AsyncIterable<{ status: string }> & { cancel(): void };
}

let controller: Harness;
let pair: KeyPair;
let isServing = true;

beforeAll(async () => {
  const ca = await createCa('test');
  controller = await openController(new MemoryStore(), { ca, isServing: () => isServing });
  // One that may call nothing of Weft's.
  pair = await issue({
    ...{ ca, subject: { role: 'controller', name: 'probe' }, sans: { dns: [], ip: [] }, usage: 'client', days: 1 },
  });
});
afterAll(async () => {
  await controller[Symbol.asyncDispose]();
});

describe('health', () => {
  it('is told to whoever has a certificate, and changes as it does', async () => {
    const { ca, port } = controller;
    const secure = credentials.createSsl(Buffer.from(ca.cert), Buffer.from(pair.key), Buffer.from(pair.cert));
    const Health = makeClientConstructor(service, 'grpc.health.v1.Health');
    const client = new Health(`127.0.0.1:${String(port)}`, secure, CHANNEL_OPTIONS) as unknown as HealthClient;
    try {
      const check = (name: string) =>
        new Promise((resolve, reject) => {
          client.check({ service: name }, (error, answer) =>
            error === null ? resolve(answer?.status) : reject(error),
          );
        });
      expect(await check('')).toBe('SERVING');
      expect(await check('weft.v1.NetworkService')).toBe('SERVING');
      await expect(check('weft.v1.NoService')).rejects.toMatchObject({ code: 5 });
      const watch = client.watch({ service: '' });
      const told: string[] = [];
      for await (const { status } of watch) {
        told.push(status);
        isServing = !isServing;
        if (told.length === 3) break;
      }
      expect(told).toEqual(['SERVING', 'NOT_SERVING', 'SERVING']);
    } finally {
      client.close();
    }
  });
});

describe('reflection', () => {
  it('tells a client without files which services and methods there are', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'weft-reflection-'));
    try {
      const file = async (name: string, text: string) => {
        await writeFile(join(directory, name), text);
        return join(directory, name);
      };
      const tls = [
        ...['--cacert', await file('ca', controller.ca.cert), '--cert', await file('cert', pair.cert)],
        ...['--key', await file('key', pair.key), '--servername', CONTROLLER_SERVER_NAME],
      ];
      const url = `https://127.0.0.1:${String(controller.port)}`;
      const curl = ['curl', ...tls, '--protocol', 'grpc', '--list-methods', url];
      const { stdout } = await run('node_modules/.bin/buf', curl, { timeout: 20_000 });
      const methods = stdout.trim().split('\n');
      expect(methods).toContain('weft.v1.NetworkService/Create');
      expect(methods).toContain('weft.v1.AgentSyncService/Sync');
      expect(methods).toContain('weft.v1.PeerService/Sessions');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
