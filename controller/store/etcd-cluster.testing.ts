/** For tests: a real etcd cluster on loopback, TLS with client certificates on every port, all of it gone at the end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { pause, withDeadline } from '../../core/lifetime.js';
import { createCa, issue, type CertificateAuthority, type KeyPair } from '../identity/ca.js';
import { never } from './contract-bench.testing.js';
import type { EtcdOptions } from './etcd-connection.js';

/** Milliseconds in which a cluster has a leader, also on a busy machine. */
const PATIENCE_MS = 15_000;

interface Member {
  readonly name: string;
  readonly endpoint: string;
  readonly argv: readonly string[];
  process: ChildProcess | undefined;
}

export class EtcdCluster implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    readonly ca: CertificateAuthority,
    /** A client's. */
    readonly pair: KeyPair,
    readonly members: readonly Member[],
  ) {}

  /** Starts `size` members with `flags` of the test's own, and returns when they have a leader. */
  static async open(size: number, flags: readonly string[] = []): Promise<EtcdCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'weft-etcd-cluster-'));
    const ca = await createCa('etcd of a test');
    const [server, pair] = await Promise.all([
      // The name is for this test's own client; Weft is told addresses.
      issue({ ...subjectOf(ca, 'member'), sans: { dns: ['localhost'], ip: ['127.0.0.1'] }, usage: 'both' }),
      issue({ ...subjectOf(ca, 'weft'), sans: { dns: [], ip: [] }, usage: 'client' }),
    ]);
    const files = { ca: ca.cert, server: server.key + server.cert, cert: pair.cert, key: pair.key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text, { mode: 0o600 });
    const ports = await freePorts(2 * size);
    const cluster = new EtcdCluster(directory, ca, pair, membersOf(directory, ports, flags));
    try {
      for (const { name } of cluster.members) cluster.start(name);
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get endpoints(): readonly string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** How a client of Weft's own reaches it. */
  options(): EtcdOptions {
    return { endpoints: this.endpoints, tls: { ca: this.ca.cert, ...this.pair } };
  }

  /** The path of a file of a client's: the CA it believes, its certificate, its key. */
  file(name: 'ca' | 'cert' | 'key'): string {
    return join(this.directory, name);
  }

  start(name: string): void {
    const member = this.#member(name);
    const [program = '', ...args] = member.argv;
    // ETCD_* variables of ours would change what is started.
    member.process = spawn(program, args, { stdio: 'ignore', env: {} });
  }

  /** SIGKILL, and returns when it is gone. */
  async kill(name: string): Promise<void> {
    const member = this.#member(name);
    const { process } = member;
    member.process = undefined;
    if (process?.exitCode !== null || process.signalCode !== null) return;
    const exited = once(process, 'exit');
    process.kill('SIGKILL');
    await exited;
  }

  /** The name of the member that leads, once one does and all that run agree. Equivalent to `etcdctl endpoint status`. */
  async leader(): Promise<string> {
    const deadline = withDeadline(PATIENCE_MS, never);
    do {
      const running = this.members.filter(({ process }) => process !== undefined);
      const views = await Promise.all(running.map((member) => this.#status(member)));
      const [first] = views;
      const leading = running.find((_, index) => views[index]?.id === first?.leader);
      if (leading !== undefined && views.every((view) => view?.leader === first?.leader)) return leading.name;
    } while (await pause(50, deadline));
    const logs = await Promise.all(
      this.members.map(({ name }) => readFile(join(this.directory, `${name}.log`), 'utf8')),
    );
    throw new Error(`the cluster has no leader:\n${logs.map((log) => log.slice(-1_000)).join('\n')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ name }) => this.kill(name)));
    await rm(this.directory, { recursive: true, force: true });
  }

  async #status({ endpoint }: Member): Promise<{ readonly id: string; readonly leader: string } | undefined> {
    const client = new Etcd3({
      hosts: endpoint,
      grpcOptions: { 'grpc.ssl_target_name_override': 'localhost' },
      credentials: {
        rootCertificate: Buffer.from(this.ca.cert),
        certChain: Buffer.from(this.pair.cert),
        privateKey: Buffer.from(this.pair.key),
      },
    });
    try {
      const { header, leader } = await client.maintenance.status({ deadline: Date.now() + 1_000 });
      return { id: header.member_id, leader };
    } catch {
      return undefined;
    } finally {
      client.close();
    }
  }

  #member(name: string): Member {
    const member = this.members.find((each) => each.name === name);
    if (member === undefined) throw new RangeError(`no member ${name}`);
    return member;
  }
}

function subjectOf(ca: CertificateAuthority, name: string) {
  return { ca, subject: { role: 'controller', name }, days: 1 } as const;
}

function membersOf(directory: string, ports: readonly number[], flags: readonly string[]): Member[] {
  const at = (port: number | undefined): string => `https://127.0.0.1:${String(port)}`;
  const names = Array.from({ length: ports.length / 2 }, (_, index) => `m${String(index + 1)}`);
  const peers = names.map((name, index) => `${name}=${at(ports[2 * index])}`).join(',');
  const [ca, server] = [join(directory, 'ca'), join(directory, 'server')];
  return names.map((name, index) => {
    const [peer, endpoint] = [at(ports[2 * index]), at(ports[2 * index + 1])];
    const argv = [
      'etcd',
      ...['--name', name, '--data-dir', join(directory, name)],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', peers],
      // Also at an address that its certificate does not have.
      ...[
        '--listen-client-urls',
        `${endpoint},${endpoint.replace('127.0.0.1', '127.0.0.2')}`,
        '--advertise-client-urls',
        endpoint,
      ],
      ...['--client-cert-auth', '--trusted-ca-file', ca, '--cert-file', server, '--key-file', server],
      ...['--peer-client-cert-auth', '--peer-trusted-ca-file', ca],
      ...['--peer-cert-file', server, '--peer-key-file', server],
      ...['--logger', 'zap', '--log-level', 'warn', '--log-outputs', join(directory, `${name}.log`)],
      ...flags,
    ];
    return { name, endpoint, argv, process: undefined };
  });
}

/** So many ports on 127.0.0.1 that nobody listens on. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
