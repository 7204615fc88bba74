/**
 * The peer of the fan-out: as many hosts as there are agents, each with a connection of its own to etcd and a watch on
 * each of its networks. They fold nothing and acknowledge nothing; they write down when they heard of what.
 */
import type { HostId } from '../../core/ids.js';
import { EtcdConnection } from '../../controller/store/etcd-connection.js';
import type { EtcdTls } from '../../controller/store/etcd-tls.js';
import { rangeOfPrefix } from '../../controller/store/etcd-codec.js';
import { monotonicMs } from '../../e2e/simulated/agent.js';
import type { Acks } from '../../e2e/simulated/orders.js';

/** The first message from the parent. Every further one asks for what was heard since. */
export interface WatchersOrder {
  readonly endpoint: string;
  readonly tls: EtcdTls;
  readonly hosts: ReadonlyMap<HostId, readonly string[]>;
}

/** The answer to the first message, when all watches are there, and to each further one. */
export type WatchersAnswer = 'watching' | ReadonlyMap<HostId, Acks>;

/** What is looked at of etcd's message of that name. */
interface WatchResponse {
  readonly created: boolean;
  readonly events: readonly { readonly kv: { readonly mod_revision: string } }[];
}

/** Watches asked for at once: etcd takes its time for some 28,000. */
const AT_ONCE = 20;

/** Returns the exit status, when the parent has gone. */
export async function main(): Promise<number> {
  const watchers: Watcher[] = [];
  let order: WatchersOrder | undefined;
  process.on('message', (message: WatchersOrder | 'collect') => {
    if (message === 'collect') {
      process.send?.(new Map(watchers.map((watcher) => [watcher.hostId, watcher.heard()])));
      return;
    }
    order = message;
    start(order, watchers).then(
      () => process.send?.('watching'),
      (error: unknown) => {
        process.stderr.write(`watchers: ${error instanceof Error ? error.message : String(error)}\n`);
        process.disconnect();
      },
    );
  });
  await new Promise<void>((resolve) => process.once('disconnect', resolve));
  for (const watcher of watchers) watcher[Symbol.dispose]();
  return 0;
}

async function start({ endpoint, tls, hosts }: WatchersOrder, watchers: Watcher[]): Promise<void> {
  const waiting = [...hosts];
  const worker = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [hostId, prefixes] = next;
      const watcher = new Watcher(hostId, new EtcdConnection({ endpoints: [endpoint], tls }));
      watchers.push(watcher);
      await watcher.watch(prefixes);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

class Watcher implements Disposable {
  #heard: (readonly [revision: number, atMs: number])[] = [];

  constructor(
    readonly hostId: HostId,
    readonly connection: EtcdConnection,
  ) {}

  /** Equivalent to `etcdctl watch --prefix`, for all of them on one stream; returns when etcd has granted them. */
  async watch(prefixes: readonly string[]): Promise<void> {
    const { stream } = await this.connection.openWatch();
    await new Promise<void>((resolve, reject) => {
      let granted = 0;
      stream.on('data', ({ created, events }: WatchResponse) => {
        const atMs = monotonicMs();
        for (const { kv } of events) this.#heard.push([Number(kv.mod_revision), atMs]);
        if (!created) return;
        granted += 1;
        if (granted === prefixes.length) resolve();
      });
      stream.once('end', () => {
        reject(new Error('etcd has ended a watch'));
      });
      for (const prefix of prefixes) stream.write({ create_request: rangeOfPrefix(prefix) });
    });
  }

  /** Since it was asked last, by revision. */
  heard(): Acks {
    const heard = this.#heard.sort(([one], [other]) => one - other);
    this.#heard = [];
    return {
      revisions: Float64Array.from(heard, ([revision]) => revision),
      timesMs: Float64Array.from(heard, ([, atMs]) => atMs),
    };
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }
}
