/** The process of bare watchers, as the benchmark sees it. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { HostId } from '../../core/ids.js';
import { withDeadline } from '../../core/lifetime.js';
import { endpointsOf } from '../../controller/store/keys.js';
import { checkoutDirectory } from '../../e2e/lab/layout.js';
import type { Acks } from '../../e2e/simulated/orders.js';
import type { WatchersAnswer, WatchersOrder } from '../etcd-watchers/main.js';
import type { BenchEtcd } from '../ipam-cluster.js';
import type { LoadedEndpoint } from './cluster.js';

/** Milliseconds for some 28,000 watches to be granted, on a machine that is busy. */
const PATIENCE_MS = 120_000;

export class EtcdWatchers implements AsyncDisposable {
  private constructor(readonly child: ChildProcess) {}

  /** A watcher for each host, on the networks that it has endpoints in; returns when all watch. */
  static async start({ etcd }: BenchEtcd, endpoints: readonly LoadedEndpoint[]): Promise<EtcdWatchers> {
    const child = fork(join(checkoutDirectory(), 'deploy', 'start.js'), ['bench/etcd-watchers'], {
      execArgv: ['--max-semi-space-size=64'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const watchers = new EtcdWatchers(child);
    try {
      const prefixes = new Map<HostId, Set<string>>();
      for (const { hostId, network } of endpoints) {
        const own = prefixes.get(hostId) ?? new Set();
        prefixes.set(hostId, own.add(endpointsOf(network.id)));
      }
      const [endpoint = ''] = etcd.endpoints;
      const { ca, cert, key } = etcd.tls;
      await watchers.#ask({
        ...{ endpoint, tls: { ca, cert, key } },
        hosts: new Map([...prefixes].map(([hostId, own]) => [hostId, [...own]])),
      });
      return watchers;
    } catch (error) {
      await watchers[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** When each host heard of which revision, since it was asked last. */
  async heard(): Promise<ReadonlyMap<HostId, Acks>> {
    const answer = await this.#ask('collect');
    if (answer === 'watching') throw new TypeError('the first answer came again');
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }

  async #ask(order: WatchersOrder | 'collect'): Promise<WatchersAnswer> {
    const signal = withDeadline(PATIENCE_MS);
    const answered = once(this.child, 'message', { signal });
    this.child.send(order);
    const [answer] = (await answered) as [WatchersAnswer];
    return answer;
  }
}
