import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../../core/lifetime.js';
import { CreateNetworkRequest, type CreateNetworkResponse } from '../../proto/gen/weft/v1/network.js';
import { createCa, issue } from '../identity/ca.js';
import { ControllerPrograms, connect, endProgram, linesOf, type StartedController } from '../program.testing.js';
import { EtcdCluster } from '../store/etcd-cluster.testing.js';
import type { TestClient } from '../testing.js';

const run = promisify(execFile);

/** The compiled CLI; `npm test` builds it first. */
const WEFT = join(import.meta.dirname, '../..', 'bin', 'weft');

/**
 * Milliseconds in which a change is made although the leader is killed: an election takes one to two seconds, and a
 * change that the leader took along five, after which its outcome is asked for.
 */
const FAILOVER_MS = 10_000;

let directory: string;
let cluster: EtcdCluster;
const programs = new ControllerPrograms();
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-external-'));
  cluster = await EtcdCluster.open(3);
});
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** The flags for this cluster; of a flag given twice, the last counts. */
const flags = (endpoints = cluster.endpoints): string[] => [
  ...['--etcd-endpoints', endpoints.join(',')],
  ...['--etcd-ca', cluster.file('ca'), '--etcd-cert', cluster.file('cert'), '--etcd-key', cluster.file('key')],
];

function create(admin: TestClient, name: string): Promise<CreateNetworkResponse> {
  return admin.call(
    admin.networks.create.bind(admin.networks),
    CreateNetworkRequest.fromPartial({ name }),
    FAILOVER_MS,
  );
}

async function names(admin: TestClient, minRevision: bigint): Promise<string[]> {
  const list = admin.networks.list.bind(admin.networks);
  const { networks } = await admin.call(list, { pageSize: 0, pageToken: '', minRevision, filters: [] }, FAILOVER_MS);
  return networks.map(({ name }) => name).sort();
}

/** Resolves when the controller's view of the cluster is at `revision`, which GetStatus tells and asks no etcd for. */
async function follows(admin: TestClient, revision: bigint): Promise<void> {
  const deadline = AbortSignal.timeout(FAILOVER_MS);
  const status = () => admin.call(admin.cluster.getStatus.bind(admin.cluster), {}, FAILOVER_MS);
  while ((await status()).revision < revision) {
    if (!(await pause(20, deadline))) throw new Error(`the watch stands still before revision ${String(revision)}`);
  }
}

/** GetStatus has every member as it is, and says what to do about the dead one. */
async function membersShow(admin: TestClient, { dead, leads }: { dead: string; leads: string }): Promise<void> {
  const endpoint = (name: string) => cluster.members.find((member) => member.name === name)?.endpoint;
  const { etcd, warnings } = await admin.call(admin.cluster.getStatus.bind(admin.cluster), {}, FAILOVER_MS);
  const members = new Map(etcd?.members.map((member) => [member.endpoint, member]));
  expect([...members.keys()].sort()).toEqual([...cluster.endpoints].sort());
  expect(members.get(endpoint(dead) ?? '')).toMatchObject({ healthy: false, leader: false });
  expect(members.get(endpoint(dead) ?? '')?.problem).toMatch(/ECONNREFUSED/);
  expect(members.get(endpoint(leads) ?? '')).toMatchObject({ healthy: true, leader: true, problem: '' });
  expect(etcd).toMatchObject({ embedded: false, dataDir: '', databaseQuota: 2n ** 31n });
  expect(warnings.map(({ reason, object }) => [reason, object])).toEqual([
    ['ETCD_MEMBER_DOWN', `etcd ${endpoint(dead) ?? ''}`],
  ]);
}

/** What the CLI prints. */
async function weft(controller: StartedController, ...args: string[]): Promise<string> {
  const where = ['--controller', `127.0.0.1:${String(controller.port)}`, '--tls-dir', join(directory, 'c', 'admin')];
  return (await run(WEFT, [...where, ...args])).stdout;
}

describe('weft-controller on a cluster of three etcd members', () => {
  it('goes on when the leader is killed, and finds all of it after a restart', async () => {
    const led = await cluster.leader();
    const followers = cluster.members.filter(({ name }) => name !== led).map(({ endpoint }) => endpoint);
    // The first controller talks to the leader itself, the second to a member that loses its leader.
    const ordered = [...cluster.endpoints.filter((each) => !followers.includes(each)), ...followers];
    const first = await programs.start(join(directory, 'c'), ...flags(ordered));
    // Of one cluster, they know each other by its CA.
    await cp(join(directory, 'c', 'ca'), join(directory, 'other', 'ca'), { recursive: true });
    const second = await programs.start(join(directory, 'other'), ...flags([...ordered].reverse()));
    expect(second.clusterId).toBe(first.clusterId);
    using admin = await connect(first.port, join(directory, 'c', 'admin'));
    using other = await connect(second.port, join(directory, 'other', 'admin'));
    const before = await create(admin, 'before');
    expect(await names(other, before.revision)).toEqual(['before']);

    // Asked again: on a busy machine another may lead by now.
    const leader = await cluster.leader();
    await cluster.kill(leader);
    const killedAt = performance.now();
    // Nobody says it again: what is sent right now is done, or its outcome found out.
    const [one, two] = await Promise.all([create(admin, 'one'), create(other, 'two')]);
    expect(performance.now() - killedAt).toBeLessThan(FAILOVER_MS);
    // Without a read that asks for a revision: each hears of the other's change by its watch alone.
    const revision = one.revision > two.revision ? one.revision : two.revision;
    await Promise.all([follows(admin, revision), follows(other, revision)]);
    const three = await create(other, 'three');
    await follows(admin, three.revision);
    const all = ['before', 'one', 'three', 'two'];
    expect(await names(admin, three.revision)).toEqual(all);
    expect(await names(other, three.revision)).toEqual(all);
    const leads = await cluster.leader();
    expect(leads).not.toBe(leader);
    await membersShow(admin, { dead: leader, leads });
    cluster.start(leader);
    await cluster.leader();

    const status = await weft(first, 'status');
    for (const endpoint of cluster.endpoints) expect(status).toContain(endpoint);
    expect(status).toMatch(/etcd +\w+, version 3\.\d+\.\d+, 3 members/);
    expect(status).toContain('on disk');
    expect(JSON.parse(await weft(first, '--json', 'status'))).toMatchObject({
      etcd: { endpoints: ordered },
    });

    expect(await endProgram(first.child, 'SIGTERM')).toBe(0);
    const again = await programs.start(join(directory, 'c'), ...flags());
    expect(again.clusterId).toBe(first.clusterId);
    using anew = await connect(again.port, join(directory, 'c', 'admin'));
    expect(await names(anew, three.revision)).toEqual(all);
    expect(await endProgram(again.child, 'SIGTERM')).toBe(0);
    expect(await endProgram(second.child, 'SIGTERM')).toBe(0);
    // Every line of a log is JSON: nothing that is linked in writes beside it.
    expect([first, second, again].every(({ lines }) => lines().length > 1)).toBe(true);
  }, 60_000);
});

describe('weft-controller with an etcd that cannot be used', () => {
  let foreign: { readonly ca: string; readonly cert: string; readonly key: string };
  beforeAll(async () => {
    const ca = await createCa('another');
    const subject = { role: 'controller', name: 'stranger' } as const;
    const pair = await issue({ ca, subject, sans: { dns: [], ip: [] }, usage: 'client', days: 1 });
    foreign = { ca: join(directory, 'foreign-ca'), cert: join(directory, 'cert'), key: join(directory, 'key') };
    await writeFile(foreign.ca, ca.cert);
    await writeFile(foreign.cert, pair.cert);
    await writeFile(foreign.key, pair.key);
  });

  it.concurrent.each([
    [
      'nobody listens',
      () => ['--etcd-endpoints', 'https://127.0.0.1:1,https://127.0.0.1:2'],
      /at https:\/\/127.0.0.1:1: connect ECONNREFUSED .*; at https:\/\/127.0.0.1:2: connect ECONNREFUSED/,
    ],
    ['it is of another CA', () => ['--etcd-ca', foreign.ca], /unable to verify the first certificate/],
    [
      'it knows another CA',
      () => ['--etcd-cert', foreign.cert, '--etcd-key', foreign.key],
      /it does not accept our certificate/,
    ],
    [
      'the certificate is for another address',
      () => ['--etcd-endpoints', cluster.endpoints.join(',').replaceAll('127.0.0.1', '127.0.0.2')],
      /IP: 127\.0\.0\.2 is not in the cert's list/,
    ],
    ['the key is another’s', () => ['--etcd-key', foreign.key], /cert and .*key are no pair: key values mismatch/],
    ['the CA is no certificate', () => ['--etcd-ca', foreign.key], /holds no certificate: /],
    ['there is no certificate', () => ['--etcd-cert', join(directory, 'nowhere')], /nowhere cannot be read: ENOENT/],
  ] as const)(
    'says so in a sentence: %s',
    async (what, args, sentence) => {
      const own = ['--data-dir', join(directory, what), '--listen', '127.0.0.1:0', '--metrics', 'off'];
      const { ended, text } = programs.run(...own, ...flags(), ...args());
      expect(await ended).toBe(1);
      const lines = linesOf(text());
      expect(lines.map(({ level }) => level)).toEqual(['info', 'fatal']);
      expect(lines[1]?.msg).toMatch(sentence);
      expect(lines[1]?.msg).not.toContain('\n');
      expect(lines[1]).not.toHaveProperty('err');
    },
    30_000,
  );

  it.concurrent.each([
    ['in clear', () => ['--etcd-endpoints', 'http://127.0.0.1:2379'], 'Weft speaks to etcd over TLS only'],
    ['a certificate without endpoints', () => flags().slice(2), 'go with --etcd-endpoints'],
    ['endpoints without a certificate', () => flags().slice(0, 4), 'needs --etcd-ca, --etcd-cert and --etcd-key'],
  ] as const)('refuses the command line: %s', async (_, args, sentence) => {
    const { ended, text } = programs.run('--data-dir', join(directory, 'never'), ...args());
    expect(await ended).toBe(2);
    expect(text()).toContain(sentence);
  });
});
