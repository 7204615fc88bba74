import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { never, putting } from './contract-bench.testing.js';
import { EmbeddedEtcd, type EmbeddedEtcdOptions } from './embedded-etcd.js';
import { EmbeddedEtcdError } from './etcd-error.js';
import { EtcdStore } from './etcd.js';
import { startEtcd } from './etcd-child.js';
import { MARK, markFor } from './etcd-orphan.js';
import { endProcess, findByEnvironment, identify, isAlive, type ProcessIdentity } from './process.js';

const run = promisify(execFile);

describe('the embedded etcd', () => {
  let directory: string;
  let logged: { readonly msg: string }[];
  /** Ended after each test, whatever became of it. */
  let started: AsyncDisposable[];
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-embedded-'));
    logged = [];
    started = [];
  });
  afterEach(async () => {
    for (const each of started) await each[Symbol.asyncDispose]();
    for (const { process } of await oursIn(directory)) await endProcess(process, 5_000, never);
    await rm(directory, { recursive: true, force: true });
  });

  const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line) as { msg: string }) });
  const start = async (options: Partial<EmbeddedEtcdOptions> = {}): Promise<EmbeddedEtcd> => {
    const etcd = await EmbeddedEtcd.start({ directory, log, ...options }, never);
    started.push(etcd);
    return etcd;
  };
  const storeOf = (etcd: EmbeddedEtcd): EtcdStore => new EtcdStore({ endpoints: etcd.endpoints, tls: etcd.tls });
  const processOf = async (etcd: EmbeddedEtcd): Promise<ProcessIdentity> => {
    const identity = await identify(etcd.pid ?? 0);
    if (identity === undefined) throw new Error('etcd does not run');
    return identity;
  };

  it('keeps what was written over a stop and a start', async () => {
    const first = await start();
    {
      await using store = storeOf(first);
      await store.commit(putting('/a'), never);
    }
    const process = await processOf(first);
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    expect(await isAlive(process)).toBe(false);
    await using store = storeOf(await start());
    expect((await store.get('/a', never)).entry?.key).toBe('/a');
  });

  it('is open to nobody else', async () => {
    const etcd = await start();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, 'data'))).mode & 0o777).toBe(0o700);
    for (const name of ['server.pem', 'ca/ca.pem', 'etcd.log']) {
      expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    }
    expect(await readdir(directory)).not.toContainEqual(expect.stringMatching(/\.tmp$/));
    // What its process listens on: the client port on 127.0.0.1, and nothing on any network beside.
    const { stdout } = await run('ss', ['-H', '-t', '-l', '-n', '-p']);
    const listening = stdout.split('\n').filter((line) => line.includes(`pid=${String(etcd.pid)},`));
    expect(listening.map((line) => line.split(/\s+/)[3])).toEqual([new URL(etcd.endpoints[0] ?? '').host]);
    // A client without a certificate.
    const ca = await readFile(join(directory, 'ca/ca.crt'));
    const client = connect({ host: '127.0.0.1', port: Number(new URL(etcd.endpoints[0] ?? '').port), ca });
    const [error] = (await once(client, 'close').catch((reason: unknown) => [reason])) as [unknown];
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_SSL_.*CERTIFICATE/) as unknown });
  });

  it('makes a directory with too many rights its own', async () => {
    await chmod(directory, 0o755);
    await start();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it('is started again when it dies, at the same place with the same content', async () => {
    const etcd = await start();
    await using store = storeOf(etcd);
    await store.commit(putting('/a'), never);
    const before = await processOf(etcd);
    process.kill(before.pid, 'SIGKILL');
    expect((await store.get('/a', never)).entry?.key).toBe('/a');
    expect((await processOf(etcd)).pid).not.toBe(before.pid);
    expect(logged.map(({ msg }) => msg)).toContain('etcd ended by itself; it is started again');
  });

  it('is not started again when it dies during a stop', async () => {
    const etcd = await start();
    const { pid } = await processOf(etcd);
    process.kill(pid, 'SIGKILL');
    await etcd[Symbol.asyncDispose]();
    await pause(300, never);
    expect(await oursIn(directory)).toEqual([]);
  });

  it('is told from an orphan while its controller lives', async () => {
    const etcd = await start();
    const { pid } = await processOf(etcd);
    await expect(start()).rejects.toThrow(EmbeddedEtcdError);
    await expect(start()).rejects.toThrow(
      `${directory} is in use: process ${String(process.pid)} runs etcd (process ${String(pid)}) on it`,
    );
    // The same place by another name.
    const alias = `${directory}-alias`;
    await symlink(directory, alias);
    try {
      await expect(start({ directory: alias })).rejects.toThrow('is in use');
    } finally {
      await rm(alias);
    }
    await using store = storeOf(etcd);
    expect((await store.commit(putting('/a'), never)).committed).toBe(true);
  });

  it('is never doubled by two starts at once', async () => {
    const both = await Promise.allSettled([start(), start()]);
    const [won, lost] = [
      both.filter((each) => each.status === 'fulfilled'),
      both.filter((each) => each.status === 'rejected'),
    ];
    expect(won).toHaveLength(1);
    expect(lost.map(({ reason }: { reason: unknown }) => String(reason))).toEqual([expect.stringContaining('in use')]);
    expect(await oursIn(directory)).toHaveLength(1);
    const [survivor] = won;
    if (survivor === undefined) throw new Error('one has won');
    await using store = storeOf(survivor.value);
    expect((await store.commit(putting('/a'), never)).committed).toBe(true);
  });

  /** An etcd on a copy of our directory's files, as a controller leaves it that was killed right after it started it. */
  const orphanIn = async (place: string): Promise<ProcessIdentity> => {
    await using first = await EmbeddedEtcd.start({ directory: place, log }, never);
    await using store = storeOf(first);
    await store.commit(putting('/a'), never);
    const port = Number(new URL(first.endpoints[0] ?? '').port);
    await first[Symbol.asyncDispose]();
    const controller = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(controller, 'spawn');
    const mark = await markFor(place, controller.pid ?? 0);
    const files = { serverFile: join(place, 'server.pem'), caFile: join(place, 'ca/ca.crt') };
    const settings = { directory: place, port, quotaBytes: 1 << 30 };
    const child = await startEtcd({ binary: '/usr/bin/etcd', ...settings, ...files }, mark);
    await store.get('/a', never).catch(() => undefined);
    controller.kill('SIGKILL');
    await once(controller, 'exit');
    const orphan = await identify(child.pid);
    if (orphan === undefined) throw new Error(await child.ended);
    return orphan;
  };

  it('is ended by the next controller when its own was killed, with nothing lost', async () => {
    const orphan = await orphanIn(directory);
    const etcd = await start();
    expect(await isAlive(orphan)).toBe(false);
    expect(logged.map(({ msg }) => msg)).toContain('ended the etcd that a killed controller left behind');
    expect(await oursIn(directory)).toHaveLength(1);
    await using store = storeOf(etcd);
    expect((await store.get('/a', never)).entry?.key).toBe('/a');
  });

  it('is left alone when it serves another directory', async () => {
    const elsewhere = join(directory, 'elsewhere');
    const orphan = await orphanIn(elsewhere);
    await start();
    expect(await isAlive(orphan)).toBe(true);
  });

  it('hangs on nothing of its controller that could take it along', async () => {
    const etcd = await start();
    const pid = String(etcd.pid);
    const session = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ')[5];
    expect(session).toBe(pid);
    // A pipe to a dead controller would end etcd with SIGPIPE at its next line.
    const streams = await Promise.all([0, 1, 2].map((fd) => readlink(`/proc/${pid}/fd/${String(fd)}`)));
    expect(streams).toEqual(['/dev/null', join(directory, 'etcd.log'), join(directory, 'etcd.log')]);
  });

  it('ends no process that only looks like one, but says that the directory is in use', async () => {
    // Holds the lock, without our mark: somebody started an etcd here by hand.
    const other = spawn('flock', ['--no-fork', join(directory, 'lock'), 'sleep', '60'], { stdio: 'ignore' });
    try {
      await once(other, 'spawn');
      await pause(100, never);
      await expect(start()).rejects.toThrow('is in use by another etcd');
      expect(other.exitCode).toBeNull();
    } finally {
      other.kill('SIGKILL');
      await once(other, 'exit');
    }
  });

  it('says plainly when there is no etcd', async () => {
    vi.stubEnv('PATH', directory);
    await expect(start({})).rejects.toThrow(
      'etcd is not installed: apt-get install etcd-server, or set --etcd-endpoints',
    );
    vi.unstubAllEnvs();
    await expect(start({ binary: 'no-such-etcd' })).rejects.toThrow('no-such-etcd cannot be run as etcd');
    await writeFile(join(directory, 'etcd'), '#!/bin/false\n', { mode: 0o600 });
    await expect(start({ binary: join(directory, 'etcd') })).rejects.toThrow('cannot be run as etcd');
  });

  it('says plainly when its port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    started.push(server);
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await expect(start({ port })).rejects.toThrow(`port ${String(port)} on 127.0.0.1 cannot be had for etcd`);
    expect(await oursIn(directory)).toEqual([]);
  });

  it('says what etcd said when it does not come up', async () => {
    await mkdir(join(directory, 'data'));
    await writeFile(join(directory, 'data/member'), 'no directory');
    await expect(start()).rejects.toThrow(/^etcd ended with status 1: .*member/s);
    expect(await oursIn(directory)).toEqual([]);
  });

  it('starts with nothing of our environment', async () => {
    process.env['ETCD_LISTEN_CLIENT_URLS'] = 'http://0.0.0.0:2379';
    try {
      const etcd = await start();
      const environment = await readFile(`/proc/${String(etcd.pid)}/environ`, 'utf8');
      expect(environment).toContain(MARK);
      expect(environment).not.toContain('ETCD_LISTEN_CLIENT_URLS');
    } finally {
      delete process.env['ETCD_LISTEN_CLIENT_URLS'];
    }
  });

  it('gives up a start that is no longer wanted, and leaves nothing behind', async () => {
    const aborting = new AbortController();
    const reason = new Error('no longer wanted');
    // As soon as etcd runs, and before it answers.
    const impatient = pino({}, { write: () => aborting.abort(reason) });
    const starting = EmbeddedEtcd.start({ directory, log: impatient }, aborting.signal);
    await expect(starting).rejects.toBe(reason);
    expect(await oursIn(directory)).toEqual([]);
  });
});

describe('processes', () => {
  it('are known by their start, so that a pid in new hands is somebody else', async () => {
    const self = await identify(process.pid);
    if (self === undefined) throw new Error('this process runs');
    expect(await isAlive(self)).toBe(true);
    expect(await isAlive({ ...self, startTime: '1' })).toBe(false);
    // Would be fatal if only the pid counted.
    await endProcess({ ...self, startTime: '1' }, 1_000, never);
  });

  it('that are zombies count as gone', async () => {
    // `sleep 0` ends, and its parent, which exec made a `sleep 60`, never asks how.
    const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      const [output] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(output.toString());
      const stateOf = async (): Promise<string> =>
        (await readFile(`/proc/${String(pid)}/stat`, 'utf8')).split(' ')[2] ?? '';
      while ((await stateOf()) !== 'Z') await pause(5, never);
      expect(await identify(pid)).toBeUndefined();
    } finally {
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    }
  });

  it('that ignore SIGTERM are killed', async () => {
    const stubborn = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(stubborn.stdout, 'data');
    const identity = await identify(stubborn.pid ?? 0);
    if (identity === undefined) throw new Error('it runs');
    const ended = once(stubborn, 'exit');
    await endProcess(identity, 200, never);
    expect(await ended).toEqual([null, 'SIGKILL']);
  });
});

/** The etcd processes that serve a directory under `root`. */
async function oursIn(root: string) {
  const found = await findByEnvironment(MARK);
  const commands = await Promise.all(
    found.map(({ process }) => readFile(`/proc/${String(process.pid)}/cmdline`, 'utf8').catch(() => '')),
  );
  return found.filter((_, index) => commands[index]?.includes(root));
}
