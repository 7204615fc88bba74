/** Who changes endpoints, so that a watcher of etcd hears the same: through the controller and the hosts, or straight. */
import { putEndpoint } from '../../controller/cache/objects.js';
import { objectKey } from '../../controller/store/keys.js';
import type { Store } from '../../controller/store/store.js';
import type { TestClient } from '../../controller/testing.js';
import { parseIp } from '../../core/address.js';
import { randomMac } from '../../core/mac.js';
import type { EndpointState } from '../../core/model.js';
import { NEVER } from '../ipam-cluster.js';
import type { LoadedEndpoint } from './cluster.js';

/** Milliseconds for one call on a machine that is busy. */
const CALL_MS = 30_000;

/** Calls under way at once: one client may have 256. */
const CALLS = 200;

/** What it returns from may only have begun: the watcher hears when it is done. */
export interface Changer {
  readonly remove: (endpoint: LoadedEndpoint) => Promise<void>;
  readonly make: (endpoint: LoadedEndpoint) => Promise<void>;
}

/** As an operator does; that an endpoint is gone, and that another is ready, its host says. */
export function throughController(client: TestClient): Changer {
  const permits = new Permits(CALLS);
  return {
    remove: ({ id }) => permits.run(() => client.call(client.endpoints.delete.bind(client.endpoints), { id }, CALL_MS)),
    make: ({ id, network, hostId }) => {
      const request = {
        ...{ id, network: network.id, host: hostId, sandbox: `box-${id}`, session: '' },
        ...{ aliases: [], addresses: [], mac: '', labels: { app: 'web' } },
      };
      return permits.run(() => client.call(client.endpoints.create.bind(client.endpoints), request, CALL_MS));
    },
  };
}

/** So much work at once; the rest waits in line. */
class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run(work: () => Promise<unknown>): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}

/** The same objects at as many revisions, with no rules, no guards and no hosts. */
export function straightToEtcd(store: Store): Changer {
  const write = async (endpoint: LoadedEndpoint, state: EndpointState): Promise<void> => {
    await store.commit({ compares: [], puts: [objectOf(endpoint, state)], deletes: [] }, NEVER);
  };
  return {
    remove: async (endpoint) => {
      await write(endpoint, 'removing');
      const deletes = [objectKey.endpoint(endpoint.network.id, endpoint.id)];
      await store.commit({ compares: [], puts: [], deletes }, NEVER);
    },
    make: async (endpoint) => {
      await write(endpoint, 'pending');
      await write(endpoint, 'ready');
    },
  };
}

function objectOf({ id, network, hostId }: LoadedEndpoint, state: EndpointState) {
  const address = parseIp('10.0.0.2');
  if (address === undefined) throw new TypeError('10.0.0.2 is an address');
  const sandbox = `box-${id}`;
  return putEndpoint({
    ...{ id, networkId: network.id, hostId, sandbox, name: sandbox, aliases: [], addresses: [address] },
    ...{ mac: randomMac(), labels: { app: 'web' }, state, requestId: id, createTimeMs: Date.now() },
    ...{ revision: 0n, createRevision: 0n },
  });
}
