/**
 * For tests: an etcd in a container, as somebody else would run it: TLS only, client certificates, access control on.
 * The container has no network. Its etcd listens on a unix socket, and a relay on loopback leads there: what is spoken
 * through it is the same TLS.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { GenericContainer, Wait, type StartedTestContainer } from 'testcontainers';
import type { DockerDaemon } from './docker-daemon.testing.js';
import { createCa, issue, type CertificateAuthority, type KeyPair } from '../identity/ca.js';
import type { EtcdTls } from './etcd-tls.js';

/** Where the container sees its part of the daemon's directory. */
const INSIDE = '/etc/etcd';

/** etcd takes the part after `unixs://` as the name of a socket in its working directory. */
const SOCKET = 'localhost:2379';

const ADMINISTRATOR = 'root';

/** Keys from `from` up to but not with `to`; without it the one key. `\0` to `\0` is every key. */
interface Grant {
  readonly from: string;
  readonly to?: string;
}

export class EtcdContainer implements AsyncDisposable {
  private constructor(
    readonly container: StartedTestContainer,
    readonly ca: CertificateAuthority,
    readonly directory: string,
    readonly relay: SocketRelay,
  ) {}

  static async start(daemon: DockerDaemon, image: string): Promise<EtcdContainer> {
    const directory = join(daemon.directory, 'etcd');
    await mkdir(directory);
    const ca = await createCa('etcd of a test');
    const server = await issue({
      ...{ ca, subject: { role: 'controller', name: 'member' }, usage: 'both', days: 1 },
      // The name is for this test's own client; Weft is told addresses.
      sans: { dns: ['localhost'], ip: ['127.0.0.1'] },
    });
    await writeFile(join(directory, 'ca'), ca.cert);
    await writeFile(join(directory, 'server'), server.key + server.cert, { mode: 0o600 });
    const container = await new GenericContainer(image)
      .withNetworkMode('none')
      .withBindMounts([{ source: directory, target: INSIDE }])
      .withWorkingDir(INSIDE)
      .withCommand([
        ...['/usr/bin/etcd', '--data-dir', '/data'],
        ...['--listen-client-urls', `unixs://${SOCKET}`, '--advertise-client-urls', `unixs://${SOCKET}`],
        ...['--client-cert-auth', '--trusted-ca-file', 'ca', '--cert-file', 'server', '--key-file', 'server'],
        ...['--logger', 'zap', '--log-outputs', 'stderr'],
      ])
      .withWaitStrategy(Wait.forLogMessage('serving client traffic'))
      .start();
    try {
      return new EtcdContainer(container, ca, directory, await SocketRelay.open(join(directory, SOCKET)));
    } catch (error) {
      await container.stop();
      throw error;
    }
  }

  get endpoint(): string {
    return `https://127.0.0.1:${String(this.relay.port)}`;
  }

  /** What somebody of this name shows etcd. */
  async credentials(name: string): Promise<EtcdTls> {
    const { ca } = this;
    const subject = { role: 'controller', name } as const;
    const pair = await issue({ ca, subject, sans: { dns: [], ip: [] }, usage: 'client', days: 1 });
    return { ca: ca.cert, ...pair };
  }

  /** The same, as files: of the CA, the certificate and the key. */
  async credentialFiles(name: string): Promise<{ readonly ca: string; readonly cert: string; readonly key: string }> {
    const { cert, key } = await this.credentials(name);
    const file = (what: keyof KeyPair): string => join(this.directory, `${name}.${what}`);
    await writeFile(file('cert'), cert);
    await writeFile(file('key'), key, { mode: 0o600 });
    return { ca: join(this.directory, 'ca'), cert: file('cert'), key: file('key') };
  }

  /**
   * Turns access control on. From then on a certificate's CN is the user, who may read and write what is granted.
   * Equivalent to `etcdctl user add`, `role grant-permission`, `user grant-role` and `auth enable`.
   */
  async enableAccessControl(users: Readonly<Record<string, readonly Grant[]>>): Promise<void> {
    const { ca, cert, key } = await this.credentials(ADMINISTRATOR);
    const client = new Etcd3({
      hosts: this.endpoint,
      grpcOptions: { 'grpc.ssl_target_name_override': 'localhost' },
      credentials: {
        rootCertificate: Buffer.from(ca),
        certChain: Buffer.from(cert),
        privateKey: Buffer.from(key),
      },
    });
    try {
      for (const [name, grants] of [[ADMINISTRATOR, []] as const, ...Object.entries(users)]) {
        // Nobody is ever asked for the password.
        await client.auth.userAdd({ name, password: 'of no use' });
        await client.auth.roleAdd({ name });
        for (const { from, to } of grants) {
          const perm = { permType: 'Readwrite' as const, key: Buffer.from(from), range_end: Buffer.from(to ?? '') };
          await client.auth.roleGrantPermission({ name, perm });
        }
        await client.auth.userGrantRole({ user: name, role: name });
      }
      await client.auth.authEnable();
    } finally {
      client.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
    await this.container.stop();
  }
}

/** Leads connections to a port on loopback to a unix socket. */
class SocketRelay implements AsyncDisposable {
  readonly #sockets = new Set<Socket>();

  private constructor(readonly server: Server) {}

  static async open(path: string): Promise<SocketRelay> {
    const relay = new SocketRelay(createServer());
    relay.server.on('connection', (client) => relay.#join(client, connect({ path })));
    relay.server.listen(0, '127.0.0.1');
    await once(relay.server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }

  #join(...pair: readonly [Socket, Socket]): void {
    const end = (): void => {
      for (const socket of pair) {
        this.#sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const socket of pair) {
      this.#sockets.add(socket);
      socket.once('error', end).once('close', end);
    }
    const [client, target] = pair;
    client.pipe(target).pipe(client);
  }
}
