/**
 * An etcd of the controller's own, for clusters that bring none: one member, on loopback, with a CA of its own. It is
 * started, started again when it dies, and stopped with the controller; one that a killed controller left behind is
 * ended first.
 */
import { chmod, realpath } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { makeDirectory } from '../../core/daemon/directory.js';
import { replaceFile } from '../../core/daemon/durable-file.js';
import { backoffMs, pause, withDeadline } from '../../core/lifetime.js';
import { issue } from '../identity/ca.js';
import { CERTIFICATE_FILE, loadOrCreateCa } from '../identity/ca-store.js';
import { EtcdConnection } from './etcd-connection.js';
import { EmbeddedEtcdError } from './etcd-error.js';
import { findProgram, startEtcd, type EtcdChild, type EtcdCommand } from './etcd-child.js';
import { endOrphan, markFor } from './etcd-orphan.js';
import type { EtcdTls } from './etcd-tls.js';
import { endProcess, identify } from './process.js';

export interface EmbeddedEtcdOptions {
  /** Made if it is not there, and kept to its owner (0700). */
  readonly directory: string;
  readonly log: Logger;
  /** Name or path of the program. Default `etcd`. */
  readonly binary?: string;
  /** On 127.0.0.1; default: any that is free. */
  readonly port?: number;
  /** Default 4 GiB. */
  readonly quotaBytes?: number;
}

const QUOTA_BYTES = 4 * 1024 ** 3;

/** etcd gets this long to end by itself; it writes a last snapshot. */
const STOP_MS = 10_000;

/** etcd gets this long to answer: it reads its whole log of changes first. */
const START_MS = 60_000;

/** An etcd that ran this long and then died is started again at once. */
const STABLE_MS = 60_000;

/** The certificates are made anew at each start, and etcd is not to be stopped for them in between. */
const CERTIFICATE_DAYS = 3_650;

/** What etcd is reached under. The name is for clients that must have one (RFC 6066 knows no addresses as names). */
const SANS = { dns: ['localhost'], ip: ['127.0.0.1'] } as const;

const MISSING = 'etcd is not installed: apt-get install etcd-server, or set --etcd-endpoints';

/** On loopback signs of life cost nothing, so a connection that died unnoticed (see etcd-endpoint.ts) is soon found out. */
const KEEPALIVE_MS = 1_000;

/** What EtcdStore needs is here under the names it has in EtcdOptions: `new EtcdStore(etcd)`. */
export class EmbeddedEtcd implements AsyncDisposable {
  /** They stay the same for as long as this lives, also when etcd is started again. */
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  readonly keepaliveMs = KEEPALIVE_MS;
  readonly #command: EtcdCommand;
  readonly #mark: string;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #child: EtcdChild | undefined;
  #supervision: Promise<void> = Promise.resolve();

  private constructor(options: { command: EtcdCommand; mark: string; tls: EtcdTls; log: Logger }) {
    this.#command = options.command;
    this.#mark = options.mark;
    this.tls = options.tls;
    this.#log = options.log;
    this.endpoints = [`https://127.0.0.1:${String(options.command.port)}`];
  }

  /**
   * Starts etcd and returns when it answers. Throws EmbeddedEtcdError for what a person has to put right: no etcd
   * installed, a directory or a port that somebody else uses, an etcd that does not come up.
   */
  static async start(options: EmbeddedEtcdOptions, signal: AbortSignal): Promise<EmbeddedEtcd> {
    const { log } = options;
    const binary = await findProgram(options.binary ?? 'etcd');
    if (binary === undefined) {
      throw new EmbeddedEtcdError(options.binary === undefined ? MISSING : `${options.binary} cannot be run as etcd`);
    }
    makeDirectory(join(options.directory, 'data'), 0o700);
    const directory = await realpath(options.directory);
    await chmod(directory, 0o700);
    for (const { pid } of await endOrphan(directory, STOP_MS, signal)) {
      log.warn({ etcdPid: pid, directory }, 'ended the etcd that a killed controller left behind');
    }
    const port = await freePort(options.port ?? 0);
    const { tls, serverFile, caFile } = await makeCertificates(directory);
    const { quotaBytes = QUOTA_BYTES } = options;
    const command = { binary, directory, port, serverFile, caFile, quotaBytes };
    const etcd = new EmbeddedEtcd({ command, mark: await markFor(directory, process.pid), tls, log });
    try {
      await etcd.#startOnce(signal);
    } catch (error) {
      await etcd[Symbol.asyncDispose]();
      throw error;
    }
    etcd.#supervision = etcd.#supervise();
    return etcd;
  }

  /** The running etcd's pid; undefined while there is none. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Stops etcd, and returns when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#endChild();
    await this.#supervision;
    // Supervision may just have started another one.
    await this.#endChild();
  }

  async #startOnce(signal: AbortSignal): Promise<void> {
    const child = await this.#spawn();
    using probe = new EtcdConnection({ endpoints: this.endpoints, tls: this.tls, patienceMs: START_MS });
    const ended = new AbortController();
    const watching = child.ended.then(() => ended.abort());
    try {
      // A linearizable read: answered only when etcd has opened its data, and leads.
      const deadline = withDeadline(START_MS, signal, ended.signal);
      await probe.repeat((kv, call) => kv.range({ key: Buffer.from('/') }, call), deadline);
    } catch (error) {
      signal.throwIfAborted();
      if (!ended.signal.aborted) throw new EmbeddedEtcdError('etcd runs, and does not answer', { cause: error });
      await watching;
      throw new EmbeddedEtcdError(await child.ended);
    }
  }

  async #supervise(): Promise<void> {
    const over = (): boolean => this.#stopping.signal.aborted;
    let attempt = 0;
    while (!over()) {
      if (this.#child !== undefined) {
        const startedAt = performance.now();
        const how = await this.#child.ended;
        this.#child = undefined;
        if (over()) return;
        if (performance.now() - startedAt > STABLE_MS) attempt = 0;
        this.#log.error({ how }, 'etcd ended by itself; it is started again');
      }
      if (!(await pause(backoffMs(attempt, 100, 10_000), this.#stopping.signal))) return;
      attempt += 1;
      await this.#spawn().catch((error: unknown) => {
        this.#log.error({ err: error }, 'etcd could not be started');
      });
    }
  }

  async #spawn(): Promise<EtcdChild> {
    this.#child = await startEtcd(this.#command, this.#mark);
    this.#log.info({ etcdPid: this.#child.pid, endpoints: this.endpoints }, 'started etcd');
    return this.#child;
  }

  async #endChild(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const process = await identify(child.pid);
    // Not the caller's signal: what was started must not be left behind because somebody is in a hurry.
    if (process !== undefined) await endProcess(process, STOP_MS, new AbortController().signal);
    await child.ended;
    this.#child = undefined;
  }
}

/** The certificates of this run, from the CA in the directory: the server's in a file, ours in memory only. */
async function makeCertificates(directory: string): Promise<{ tls: EtcdTls; serverFile: string; caFile: string }> {
  const authority = join(directory, 'ca');
  const ca = await loadOrCreateCa(authority, 'weft etcd CA');
  const subject = { role: 'controller', name: 'etcd' } as const;
  const server = await issue({ ca, subject, sans: SANS, usage: 'both', days: CERTIFICATE_DAYS });
  const client = await issue({
    ca,
    subject: { role: 'controller', name: 'weft' },
    sans: { dns: [], ip: [] },
    usage: 'client',
    days: CERTIFICATE_DAYS,
  });
  // Key and certificate in one file, put there in one step: of two that start at once, both would read a whole pair.
  const serverFile = join(directory, 'server.pem');
  await replaceFile(serverFile, server.key + server.cert, 0o600);
  return {
    tls: { ca: ca.cert, ...client },
    serverFile,
    caFile: join(authority, CERTIFICATE_FILE),
  };
}

/** A port on 127.0.0.1 that nobody listens on: `wanted`, or any for 0. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1');
  try {
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch (error) {
    throw new EmbeddedEtcdError(`port ${String(wanted)} on 127.0.0.1 cannot be had for etcd: is another one running?`, {
      cause: error,
    });
  } finally {
    server.close();
  }
}
