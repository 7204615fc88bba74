/** The machine of a lab's controller, with the controller and the etcd that it brings along. */
import path from 'node:path';
import { Daemon } from './daemon.js';
import { program } from './lab-host.js';
import { LabError } from './lab-error.js';
import { checkoutDirectory, CONTROLLER_PORT, controllerPlace } from './layout.js';
import { NamespaceHost, type NamespaceHostOptions, type RunningProgram } from './namespace-host.js';
import { identify, isAlive, sendSignal } from './procfs.js';
import { pause } from '../../core/lifetime.js';

/** Everything of Weft in etcd lies between these two keys. */
const KEYS_FROM = '/weft/v1/';
const KEYS_TO = '/weft/v10';

/** Addresses that rest, and who held them before: on leases, by design there for a while after what they tell of. */
const PASSING_KEYS = /^\/weft\/v1\/(o\/resting|h)\//;

/** Where the first controller puts the operator's credentials at its first start. */
export function operatorCredentials(labDirectory: string): string {
  return path.join(labDirectory, controllerPlace(1).name, 'data', 'admin');
}

export class LabController extends NamespaceHost {
  /** Its `weft-controller`. */
  readonly daemon: Daemon;

  constructor(options: NamespaceHostOptions & { labDirectory: string }) {
    super(options);
    const data = this.subdirectory('data');
    const flags = {
      '--data-dir': data,
      '--listen': `${this.place.ipv4}:${String(CONTROLLER_PORT)}`,
      '--name': this.name,
    };
    this.daemon = new Daemon({
      labDirectory: options.labDirectory,
      host: this,
      what: 'controller',
      argv: [program('weft-controller'), 'run', ...Object.entries(flags).flat()],
      isReady: async (signal) => (await this.exec(['weft', '--json', 'status'], { signal })).code === 0,
    });
  }

  /** Signs a credentials directory for a host. Equivalent to `weft-controller issue --role host`. */
  async issueHost(name: string, directory: string, signal?: AbortSignal): Promise<void> {
    const data = this.subdirectory('data');
    const argv = ['issue', '--role', 'host', '--name', name, '--out', directory, '--data-dir', data];
    await this.must([program('weft-controller'), ...argv], signal && { signal });
  }

  /** The running etcd; undefined while there is none. */
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

  /** Every key that Weft has in etcd and that does not go by itself. Equivalent to `etcdctl get --prefix --keys-only /weft/v1/`. Rejects with LabError. */
  async etcdKeys(signal?: AbortSignal): Promise<string[]> {
    const argument = (name: string): string =>
      this.etcd()
        ?.argv.find((text) => text.startsWith(`--${name}=`))
        ?.slice(name.length + 3) ?? '';
    const facts = ['listen-client-urls', 'cert-file', 'trusted-ca-file'].map(argument);
    const library = path.join(checkoutDirectory(), 'dist/e2e/lab/etcd-keys.js');
    const script = `import { main } from ${JSON.stringify(library)}; await main(process.argv.slice(1));`;
    const argv = [process.execPath, '--input-type=module', '-e', script, ...facts, KEYS_FROM, KEYS_TO];
    const keys = JSON.parse(await this.must(argv, { timeoutMs: 10_000, ...(signal && { signal }) })) as string[];
    return keys.filter((key) => !PASSING_KEYS.test(key));
  }
}
