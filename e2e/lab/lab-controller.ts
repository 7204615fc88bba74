/** The machine of a lab's controller, with the controller and the etcd that it brings along. */
import { cpSync } from 'node:fs';
import path from 'node:path';
import { Daemon } from './daemon.js';
import { program } from './lab-host.js';
import { lasting, listEtcdKeys, WEFT_KEYS } from './etcd-query.js';
import { LabError } from './lab-error.js';
import type { EtcdAccess } from './lab-etcd.js';
import { CONTROLLER_PORT, controllerPlace } from './layout.js';
import { NamespaceHost, type NamespaceHostOptions, type RunningProgram } from './namespace-host.js';
import { identify, isAlive, sendSignal } from './procfs.js';
import { pause } from '../../core/lifetime.js';

/** Where the first controller puts the operator's credentials at its first start. */
export function operatorCredentials(labDirectory: string): string {
  return path.join(labDirectory, controllerPlace(1).name, 'data', 'admin');
}

export class LabController extends NamespaceHost {
  /** Its `weft-controller`. */
  readonly daemon: Daemon;

  /** `etcd`: undefined for a controller that brings its own along. */
  constructor(options: NamespaceHostOptions & { labDirectory: string; etcd: EtcdAccess | undefined }) {
    super(options);
    const data = this.subdirectory('data');
    const flags = {
      '--data-dir': data,
      '--listen': this.address,
      '--name': this.name,
    };
    const { etcd } = options;
    const etcdFlags = etcd && {
      '--etcd-endpoints': etcd.endpoints.join(','),
      '--etcd-ca': etcd.files.ca,
      '--etcd-cert': etcd.files.certificate,
      '--etcd-key': etcd.files.key,
    };
    this.daemon = new Daemon({
      labDirectory: options.labDirectory,
      host: this,
      what: 'controller',
      argv: [program('weft-controller'), 'run', ...Object.entries({ ...flags, ...etcdFlags }).flat()],
      isReady: async (signal) =>
        (await this.exec(['weft', '--json', '--controller', this.address, 'status'], { signal })).code === 0,
    });
  }

  /** `HOST:PORT`, where it listens. */
  get address(): string {
    return `${this.place.ipv4}:${String(CONTROLLER_PORT)}`;
  }

  /**
   * Gives it the CA of a controller that has run, before its own first start: the two then are of one cluster. Stands
   * for joining with a token.
   */
  copyClusterCa(from: LabController): void {
    cpSync(path.join(from.subdirectory('data'), 'ca'), path.join(this.subdirectory('data'), 'ca'), { recursive: true });
  }

  /** Signs a credentials directory for a host. Equivalent to `weft-controller issue --role host`. */
  async issueHost(name: string, directory: string, signal?: AbortSignal): Promise<void> {
    const data = this.subdirectory('data');
    const argv = ['issue', '--role', 'host', '--name', name, '--out', directory, '--data-dir', data];
    await this.must([program('weft-controller'), ...argv], signal && { signal });
  }

  /** The etcd that it brings along; undefined while there is none. */
  etcd(): RunningProgram | undefined {
    return this.programs().find(({ command }) => command === 'etcd');
  }

  /** SIGKILL for etcd, and waits for its end. The controller starts another one. Rejects with LabError when none runs. */
  async killEtcd(): Promise<void> {
    const { pid } = this.etcd() ?? {};
    const identity = pid === undefined ? undefined : identify(pid);
    if (identity === undefined) throw new LabError('not-found', `no etcd runs on ${this.name}`);
    sendSignal(identity, 'SIGKILL');
    const never = new AbortController().signal;
    while (isAlive(identity)) await pause(2, never);
  }

  /** Every key that Weft has in the etcd it brings along and that does not go by itself. Rejects with LabError. */
  async etcdKeys(signal?: AbortSignal): Promise<string[]> {
    const argument = (name: string): string =>
      this.etcd()
        ?.argv.find((text) => text.startsWith(`--${name}=`))
        ?.slice(name.length + 3) ?? '';
    const access = {
      url: argument('listen-client-urls'),
      pair: argument('cert-file'),
      ca: argument('trusted-ca-file'),
    };
    return lasting(await listEtcdKeys(this, { ...access, ...WEFT_KEYS }, signal));
  }
}
