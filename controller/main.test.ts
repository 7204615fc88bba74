import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../core/lifetime.js';
import { CreateNetworkRequest, SubnetRequest } from '../proto/gen/weft/v1/network.js';
import { TLS_FILES } from '../proto/channel.js';
import { parseOptions as parse } from './options.js';
import { ControllerPrograms, connect, endProgram, linesOf } from './program.testing.js';

let directory: string;
const programs = new ControllerPrograms();
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-controller-'));
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** Whether a process runs; one that is dead and was not collected by its parent yet does not. */
const isAlive = async (pid: number | undefined): Promise<boolean> => {
  const status = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => ') Z');
  return !/\) [ZX]/.test(status);
};

/** What /readyz says. */
const readiness = async (port: number): Promise<[number, string]> => {
  const response = await fetch(`http://127.0.0.1:${String(port)}/readyz`);
  return [response.status, await response.text()];
};

describe('weft-controller, as a process with an etcd of its own', () => {
  it('keeps its state when it is killed, and leaves nothing behind when it is stopped', async () => {
    const first = await programs.start(directory);
    using admin = await connect(first.port, join(directory, 'admin'));
    const subnets = [SubnetRequest.fromPartial({ cidr: '10.1.0.0/24' })];
    const request = CreateNetworkRequest.fromPartial({ name: 'web', subnets, labels: { a: 'b' } });
    const { network, revision } = await admin.call(admin.networks.create.bind(admin.networks), request);
    expect(network).toMatchObject({ name: 'web', vni: 4096 });
    const page = await (await fetch(`http://127.0.0.1:${String(first.metricsPort)}/metrics`)).text();
    await expect.poll(() => readiness(first.metricsPort), { timeout: 5_000 }).toEqual([200, 'ok\n']);
    expect(page).toContain('weft_controller_request_seconds_count{method="NetworkService/Create",code="OK"} 1');
    expect(page).toContain(`weft_controller_cache_revision ${String(revision)}`);
    expect((await stat(join(directory, 'admin', TLS_FILES.key))).mode & 0o777).toBe(0o600);

    await endProgram(first.child, 'SIGKILL');
    const second = await programs.start(directory);
    expect(second.clusterId).toBe(first.clusterId);
    using again = await connect(second.port, join(directory, 'admin'));
    const found = await again.call(again.networks.get.bind(again.networks), { network: 'web', minRevision: revision });
    expect(found.network).toEqual(network);
    // Of the repeated request nothing is made twice.
    const repeated = await again.call(again.networks.create.bind(again.networks), {
      ...request,
      id: network?.id ?? '',
    });
    expect(repeated.network).toEqual(network);

    const { etcd } = await again.call(again.cluster.getStatus.bind(again.cluster), {});
    expect(etcd?.embedded).toBe(true);
    expect(etcd?.version).toMatch(/^3\./);
    expect(etcd?.databaseSize).toBeGreaterThan(0n);
    expect(etcd).toMatchObject({
      ...{ dataDir: join(directory, 'etcd'), databaseQuota: 4n * 1024n ** 3n },
      members: [{ healthy: true, leader: true, problem: '' }],
    });

    const out = join(directory, 'h1');
    const issued = programs.run('issue', '--role', 'host', '--name', 'h1', '--out', out, '--data-dir', directory);
    expect(await issued.ended).toBe(0);
    using host = await connect(second.port, join(directory, 'h1'));
    const list = host.networks.list.bind(host.networks);
    expect((await host.call(list, { pageSize: 0, pageToken: '', minRevision: 0n, filters: [] })).networks).toHaveLength(
      1,
    );
    const refused = host.call(host.networks.delete.bind(host.networks), { network: 'web' });
    await expect(refused).rejects.toMatchObject({ reason: 'NOT_ALLOWED' });

    // Said twice, as `timeout` says it: the second must not cut short the end of etcd.
    const ended = endProgram(second.child, 'SIGTERM');
    await pause(5, new AbortController().signal);
    second.child.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(await Promise.all([first.etcdPid, second.etcdPid].map(isAlive))).toEqual([false, false]);
  }, 60_000);

  it('says within seconds how things stand while its etcd hangs', async () => {
    const own = join(directory, 'hanging');
    const { child, port, etcdPid, metricsPort } = await programs.start(own);
    if (etcdPid === undefined) throw new Error('no etcd was started');
    using admin = await connect(port, join(own, 'admin'));
    const getStatus = admin.cluster.getStatus.bind(admin.cluster);
    // It registers when it is ready.
    const registered = async () => (await admin.call(getStatus, {})).controllers;
    await expect.poll(registered, { timeout: 5_000 }).toMatchObject([{ self: true, reachable: true }]);
    process.kill(etcdPid, 'SIGSTOP');
    try {
      const began = performance.now();
      const { revision, warnings, etcd } = await admin.call(getStatus, {});
      expect(performance.now() - began).toBeLessThan(4_000);
      expect(revision).toBeGreaterThan(0n);
      expect(etcd?.members).toMatchObject([{ healthy: false }]);
      expect(warnings.map(({ reason }) => reason)).toEqual(['ETCD_MEMBER_DOWN', 'STORE_UNAVAILABLE']);
      const unready = [503, 'the store has not answered for ten seconds\n'];
      await expect.poll(() => readiness(metricsPort), { timeout: 20_000 }).toEqual(unready);
      expect((await fetch(`http://127.0.0.1:${String(metricsPort)}/livez`)).status).toBe(200);
    } finally {
      process.kill(etcdPid, 'SIGCONT');
    }
    await expect.poll(() => readiness(metricsPort), { timeout: 20_000 }).toEqual([200, 'ok\n']);
    expect(await endProgram(child, 'SIGTERM')).toBe(0);
  }, 60_000);

  it.each([
    ['a directory that cannot be', ['--data-dir', '/dev/null/x'], 'cannot be used'],
    ['no etcd', ['--etcd-binary', '/nowhere/etcd'], '/nowhere/etcd cannot be run as etcd'],
    ['an address of another machine', ['--listen', '203.0.113.9:7070'], 'cannot listen on 203.0.113.9 port 7070'],
    [
      'credentials for etcd that are not there',
      [
        '--etcd-endpoints',
        'https://127.0.0.1:1',
        '--etcd-ca',
        '/nowhere',
        '--etcd-cert',
        '/nowhere',
        '--etcd-key',
        '/nowhere',
      ],
      '/nowhere cannot be read',
    ],
  ])('says in a sentence what is wrong at the start: %s', async (_, args, sentence) => {
    const { ended, text } = programs.run(
      ...['--data-dir', directory, '--listen', '127.0.0.1:0', '--metrics', 'off'],
      ...args,
    );
    expect(await ended).toBe(1);
    const last = linesOf(text()).at(-1);
    expect(last?.level).toBe('fatal');
    expect(last?.msg).toContain(sentence);
  });
});

/** What a command line means, without what is printed of it. */
const parseOptions = (argv: readonly string[]) => parse(argv, { writeOut: () => undefined, writeErr: () => undefined });

describe('the command line', () => {
  it('has defaults', () => {
    expect(parseOptions([])).toMatchObject({
      ...{ command: 'run', dataDir: '/var/lib/weft-controller', etcd: undefined, pools: [], logLevel: 'info' },
      ...{ listen: { host: '::', port: 7070 }, metrics: { host: '127.0.0.1', port: 9470 } },
    });
    expect(parseOptions(['run', '--metrics', 'off'])).toMatchObject({ metrics: undefined });
    expect(parseOptions(['--pool', '10.0.0.0/8/24', '--pool', 'fd00::/48/64'])).toMatchObject({
      pools: [
        { range: '10.0.0.0/8', size: 24 },
        { range: 'fd00::/48', size: 64 },
      ],
    });
    expect(parseOptions(['issue', '--role', 'host', '--name', 'h1', '--out', '/x'])).toEqual({
      ...{ command: 'issue', role: 'host', name: 'h1', out: '/x', dataDir: '/var/lib/weft-controller' },
    });
  });

  it.each([
    [['--nope']],
    [['serve']],
    [['--listen', '7070']],
    [['--listen', '[10.0.0.1]:7070']],
    [['--listen', '0.0.0.0:70700']],
    [['--name', 'a b']],
    [['--pool', '10.0.0.1/8/24']],
    [['--etcd-quota', '15']],
    [['--etcd-quota', '2GiB']],
    [['--log-level', 'loud']],
    [['--etcd-endpoints', 'https://127.0.0.1:2379']],
    [['--etcd-endpoints', 'http://127.0.0.1:2379']],
    [['--etcd-ca', '/x']],
    [['issue', '--role', 'controller', '--name', 'x', '--out', '/x']],
    [['issue', '--role', 'host', '--name', 'h.1', '--out', '/x']],
    [['issue', '--role', 'host', '--name', 'h1']],
  ])('refuses %o with status 2, in one line', (argv) => {
    let said = '';
    expect(parse(argv, { writeErr: (text) => (said += text) })).toBe(2);
    expect(said).toMatch(/^weft-controller: (?!error)[^\n]+; see weft-controller (issue )?--help\n$/);
  });

  it('lists the flags where no command is named', () => {
    let help = '';
    expect(parse(['--help'], { writeOut: (text) => (help += text) })).toBe(0);
    for (const flag of ['--data-dir <dir>', '--listen <host:port>', '--etcd-quota <MiB>', '--quarantine <seconds>']) {
      expect(help).toContain(`  ${flag} `);
    }
    expect(help).toMatch(/\nExamples:\n {2}\$ weft-controller --listen /);
  });

  it('shows defaults in its help as one would type them', () => {
    let help = '';
    expect(parse(['run', '--help'], { writeOut: (text) => (help += text) })).toBe(0);
    const text = help.replace(/\s+/g, ' ');
    expect(text).toContain('(default: [::]:7070)');
    expect(text).toContain('(default: 127.0.0.1:9470)');
    expect(text).toContain('--etcd-quota <MiB> how large the embedded etcd may grow (default: 4096)');
    expect(help).not.toMatch(/default: [{[]["\]]/);
  });

  it.each([[['--help']], [['--version']], [['issue', '--help']]])('answers %o with status 0', (argv) => {
    expect(parseOptions(argv)).toBe(0);
  });
});
