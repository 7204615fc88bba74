/** The machine of a member of a lab's own etcd cluster. */
import path from 'node:path';
import { Daemon } from './daemon.js';
import { etcdFiles, type EtcdFiles } from './etcd-certificates.js';
import { lasting, listEtcdKeys, WEFT_KEYS } from './etcd-query.js';
import { ETCD_PORTS, type Place } from './layout.js';
import { NamespaceHost, type NamespaceHostOptions } from './namespace-host.js';

/** How a lab's controllers reach its etcd. */
export interface EtcdAccess {
  readonly endpoints: readonly string[];
  readonly files: EtcdFiles;
}

/** A harmless question. */
const ANYTHING = { from: '/', to: '/0' } as const;

/** `https://192.0.2.151:2379`. */
const urlOf = ({ ipv4 }: Place, port: number): string => `https://${ipv4}:${String(port)}`;

export function etcdAccess(labDirectory: string, members: readonly Place[]): EtcdAccess {
  return {
    endpoints: members.map((member) => urlOf(member, ETCD_PORTS.client)),
    files: etcdFiles(labDirectory),
  };
}

export class LabEtcd extends NamespaceHost {
  /** Its `etcd`. */
  readonly daemon: Daemon;
  readonly #files: EtcdFiles;

  constructor(options: NamespaceHostOptions & { labDirectory: string; members: readonly Place[] }) {
    super(options);
    const { labDirectory, members } = options;
    this.#files = etcdFiles(labDirectory);
    this.daemon = new Daemon({
      labDirectory,
      host: this,
      what: 'etcd',
      argv: ['etcd', ...this.#arguments(members)],
      isReady: async (signal) => {
        await this.#list(ANYTHING, signal);
        return true;
      },
    });
  }

  /** Every key that Weft has in etcd and that does not go by itself. Rejects with LabError, also where there is no leader. */
  async etcdKeys(signal?: AbortSignal): Promise<string[]> {
    return lasting(await this.#list(WEFT_KEYS, signal));
  }

  #list(range: { readonly from: string; readonly to: string }, signal?: AbortSignal): Promise<string[]> {
    const { ca, member } = this.#files;
    const access = { url: `https://127.0.0.1:${String(ETCD_PORTS.client)}`, pair: member, ca };
    return listEtcdKeys(this, { ...access, ...range }, signal);
  }

  /** As docs/etcd.md asks of an etcd that is not a controller's own. */
  #arguments(members: readonly Place[]): string[] {
    const { ca, member } = this.#files;
    const [client, peer] = [urlOf(this.place, ETCD_PORTS.client), urlOf(this.place, ETCD_PORTS.peer)];
    const cluster = members.map((each) => `${each.name}=${urlOf(each, ETCD_PORTS.peer)}`).join(',');
    return [
      `--name=${this.name}`,
      `--data-dir=${path.join(this.subdirectory('data'), 'etcd')}`,
      `--listen-client-urls=${client},https://127.0.0.1:${String(ETCD_PORTS.client)}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${cluster}`,
      ...['--client-cert-auth', `--trusted-ca-file=${ca}`, `--cert-file=${member}`, `--key-file=${member}`],
      ...['--peer-client-cert-auth', `--peer-trusted-ca-file=${ca}`],
      ...[`--peer-cert-file=${member}`, `--peer-key-file=${member}`],
      ...['--auto-compaction-mode=revision', '--auto-compaction-retention=100000'],
      ...['--logger=zap', '--log-outputs=stderr', '--log-level=warn'],
    ];
  }
}
