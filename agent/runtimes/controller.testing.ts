/** For tests: a controller in memory, as this host calls it, and the stream by which it tells this host the state. */
import { WeftError, type Reason } from '../../core/errors.js';
import type { EndpointId, HostId } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import { Latest } from '../state/latest.js';
import type { Settled } from '../state/settled.js';
import { hostId, testEndpoint, testPeer, viewOf } from '../state/testing.js';
import type { SyncState } from '../sync/client.js';
import type { Asking, Controller, EndpointWish } from '../sync/controller.js';

export class TestController implements Controller {
  readonly #networks: readonly Network[];
  readonly endpoints = new Map<EndpointId, Endpoint>();
  readonly sync = new Latest<SyncState>({
    session: 'session-1',
    identity: { clusterId: 'c', epoch: 'e', hostNumber: 1, hostName: 'h1' },
    known: undefined,
  });
  /** The next creates are refused with these, one each; undefined lets one through. */
  readonly refusals: (Reason | undefined)[] = [];
  readonly waits: bigint[] = [];
  /** Takes requests and answers none. */
  isMute = false;
  #revision = 1n;

  constructor(networks: readonly Network[]) {
    this.#networks = networks;
    this.publish();
  }

  createEndpoint(
    wish: EndpointWish,
    _session: string,
    { signal }: Asking,
  ): Promise<{ readonly endpoint: Endpoint; readonly revision: bigint }> {
    if (this.isMute) return untilGivenUp(signal);
    const reason = this.refusals.shift();
    if (reason !== undefined) return Promise.reject(new WeftError({ reason, message: `refused: ${reason}` }));
    const number = this.#networks.findIndex(({ name, id }) => name === wish.network || id === wish.network) + 1;
    if (number === 0) {
      return Promise.reject(
        new WeftError({ reason: 'NETWORK_NOT_FOUND', message: `there is no network ${wish.network}` }),
      );
    }
    const known = this.endpoints.get(wish.id);
    const made = known ?? {
      ...testEndpoint({ network: number, endpoint: this.endpoints.size + 1, host: 1, sandbox: wish.sandbox }),
      id: wish.id,
    };
    this.put(made);
    return Promise.resolve({ endpoint: made, revision: this.#revision });
  }

  deleteEndpoint(id: EndpointId, asking?: Asking): Promise<bigint> {
    if (this.isMute) return untilGivenUp(asking?.signal);
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) {
      return Promise.reject(new WeftError({ reason: 'ENDPOINT_NOT_FOUND', message: 'no such endpoint' }));
    }
    this.put({ ...endpoint, state: 'removing' });
    return Promise.resolve(this.#revision);
  }

  /** As after a restore: another epoch, revisions from the start, and of the endpoints only those that it has. */
  restore(epoch: string, has: (endpoint: Endpoint) => boolean): void {
    for (const endpoint of this.endpoints.values()) if (!has(endpoint)) this.endpoints.delete(endpoint.id);
    this.#revision = 1n;
    const { identity } = this.sync.value;
    if (identity === undefined) throw new Error('nobody is followed');
    this.sync.set({ ...this.sync.value, session: `session-${epoch}`, identity: { ...identity, epoch } });
    this.publish();
  }

  wait(revision: bigint): Promise<void> {
    this.waits.push(revision);
    return Promise.resolve();
  }

  put(endpoint: Endpoint): void {
    this.#revision += 1n;
    this.endpoints.set(endpoint.id, endpoint);
    this.publish();
  }

  /** What the host reports: ready ones become so, removed ones go. */
  hear({ known, attached, removed }: Settled): void {
    if (known === undefined) return;
    const ready = [...this.endpoints.values()].filter(({ id, state }) => state === 'pending' && attached.has(id));
    const gone = removed.filter((id) => this.endpoints.has(id));
    if (ready.length + gone.length === 0) return;
    this.#revision += 1n;
    for (const endpoint of ready) this.endpoints.set(endpoint.id, { ...endpoint, state: 'ready' });
    for (const id of gone) this.endpoints.delete(id);
    // Later, as over the wire.
    setImmediate(() => {
      this.publish();
    });
  }

  publish(): void {
    const view = viewOf(1, {
      networks: this.#networks,
      endpoints: [...this.endpoints.values()],
      peers: [testPeer(1), testPeer(2)],
    });
    const session = this.sync.value.session ?? '';
    this.sync.set({
      ...this.sync.value,
      known: {
        ...{ view, unreachable: new Set<HostId>(), revision: this.#revision, clusterId: 'c', session, incarnation: 1 },
        epoch: this.sync.value.identity?.epoch ?? '',
      },
    });
  }

  /** Endpoints of the host under test. */
  get own(): Endpoint[] {
    return [...this.endpoints.values()].filter((endpoint) => endpoint.hostId === hostId(1));
  }
}

/** A call has its time, whoever makes it. */
const CALL_MS = 1_000;

function untilGivenUp(signal?: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const giveUp = (): void => {
      reject(new WeftError({ reason: 'TIMED_OUT', message: 'no answer' }));
    };
    setTimeout(giveUp, CALL_MS);
    signal?.addEventListener('abort', giveUp);
  });
}
