/**
 * BatchCreate, asked for from a process of its own, as operators do: in the controller's process the caller would take
 * from the controller what it makes and reads, 12 us of CPU for each endpoint.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { newEndpointId } from '../core/ids.js';
import { TestClient } from '../controller/testing.js';
import type { CreateEndpointRequest } from '../proto/gen/weft/v1/endpoint.js';
import { perSecond, type Place } from './ipam-cluster.js';

/** Milliseconds for a call on a machine that is busy. */
const PATIENCE_MS = 60_000;

/** How the controller is reached. */
interface Address {
  readonly port: number;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** Where endpoints are to be: the ids of a network and of hosts. */
export interface Asked {
  readonly network: string;
  readonly hosts: readonly string[];
}

/** What is to be asked for: so many batches, so many of them at once. */
interface BatchWork extends Asked {
  readonly batch: number;
  readonly batches: number;
  readonly atOnce: number;
}

/** What the other process is told, and what it answers: a rate, or what went wrong. */
type Order = { readonly address: Address } | { readonly work: BatchWork };
type Answer = { readonly perSecond: number } | { readonly failure: string };

/** A process that asks for batches. */
export class BatchClient implements Disposable {
  readonly #child: ChildProcess;

  /** Starts it. */
  constructor(address: Address) {
    const script = `import { serveBatches } from ${JSON.stringify(import.meta.url)}; serveBatches();`;
    this.#child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#send({ address });
  }

  /** How many endpoints were made a second. Rejects when one was not. */
  async perSecond(work: BatchWork): Promise<number> {
    this.#send({ work });
    const gone = new AbortController();
    try {
      const answer = await Promise.race([
        once(this.#child, 'message', { signal: gone.signal }).then(([message]) => message as Answer),
        once(this.#child, 'exit', { signal: gone.signal }).then((): Answer => ({ failure: 'the client has ended' })),
      ]);
      if ('failure' in answer) throw new Error(answer.failure);
      return answer.perSecond;
    } finally {
      gone.abort();
    }
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #send(order: Order): void {
    this.#child.send(order);
  }
}

/**
 * The other process: does what it is told until nobody is there to tell it.
 * @public Called by the script above.
 */
export function serveBatches(): void {
  let client: TestClient | undefined;
  process.on('message', (order: Order) => {
    if ('address' in order) {
      client = new TestClient(order.address.port, order.address.tls);
      return;
    }
    const made =
      client === undefined
        ? Promise.reject(new Error('nobody said where the controller is'))
        : work(client, order.work);
    made.then(
      (rate) => process.send?.({ perSecond: rate } satisfies Answer),
      (error: unknown) => process.send?.({ failure: String(error) } satisfies Answer),
    );
  });
  process.once('disconnect', () => {
    client?.[Symbol.dispose]();
  });
}

async function work(client: TestClient, { network, hosts, batch, batches, atOnce }: BatchWork): Promise<number> {
  const create = client.endpoints.batchCreate.bind(client.endpoints);
  const createMany = async (): Promise<void> => {
    const requests = Array.from({ length: batch }, () => request(network, hosts));
    const { results } = await client.call(create, { requests }, PATIENCE_MS);
    const made = results.filter(({ outcome }) => outcome?.$case === 'endpoint').length;
    if (made !== batch) throw new Error(`${String(made)} of ${String(batch)} endpoints were made`);
  };
  return (await perSecond(batches, atOnce, createMany)) * batch;
}

let sandboxes = 0;

/** A sandbox of its own that asks for an endpoint, on each of the hosts in turn. */
export function request(network: string, hosts: readonly string[]): CreateEndpointRequest {
  sandboxes += 1;
  return {
    ...{ id: newEndpointId(), network, host: hosts[sandboxes % hosts.length] ?? '' },
    // Those of one process are not another's.
    ...{ sandbox: `box-${String(process.pid)}-${String(sandboxes)}`, aliases: [], addresses: [], mac: '' },
    ...{ labels: { app: 'web' }, session: '' },
  };
}

/** A place as it is told to another process. */
export function namesOf({ network, hosts }: Place): Asked {
  return { network: network.id, hosts: hosts.map(({ id }) => id) };
}
