import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isAborted, pause, withDeadline } from '../../core/lifetime.js';
import type { NetworkId } from '../../core/ids.js';
import type { Host, Network } from '../../core/model.js';
import { updateNetwork } from '../domain/network-update.js';
import { Operator, refusalOf, wish } from '../domain/network.testing.js';
import { EtcdLab } from '../store/etcd-lab.testing.js';
import type { Store } from '../store/store.js';
import { openBrain, type Brain } from '../testing.js';
import { faultsOf, readState } from './stored-state.testing.js';

const never = new AbortController().signal;

/** Creates that are on their way at any time. */
const STREAMS = 64;
/** Decisions within which a change to a network is through, whatever comes beside it. */
const FEW = 8;
const PATIENCE_MS = 10_000;
/** Far from every quota. */
const PLENTY = { endpointsPerNetwork: 1_000_000, endpointsPerHost: 1_000_000 };

let lab: EtcdLab;
let store: Store;
beforeAll(async () => {
  lab = await EtcdLab.open();
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});
beforeEach(async () => {
  store = lab.store();
  await store.commit({ compares: [], puts: [], deletes: [], deletePrefixes: ['/weft/v1/'] }, never);
  return () => store[Symbol.asyncDispose]();
});

/** Endpoints that come one after the other, in so many streams, until it is disposed of. */
class Load implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #running: readonly Promise<void>[];
  readonly #next: (stream: number, nth: number) => Promise<unknown>;
  made = 0;

  constructor(streams: number, next: (stream: number, nth: number) => Promise<unknown>) {
    this.#next = next;
    this.#running = Array.from({ length: streams }, (_, stream) => this.#stream(stream));
  }

  async #stream(stream: number): Promise<void> {
    for (let nth = 0; !isAborted(this.#stop.signal); nth += 1) {
      await this.#next(stream, nth);
      this.made += 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }
}

interface Place extends AsyncDisposable {
  readonly brain: Brain;
  readonly operator: Operator;
  readonly host: Host;
}

async function openPlace(): Promise<Place> {
  const brain = await openBrain(store, PLENTY);
  const operator = new Operator(brain);
  const host = await operator.host(1);
  return { brain, operator, host, [Symbol.asyncDispose]: () => brain[Symbol.asyncDispose]() };
}

/** Takes everything but the first subnet away from a network; how often that was decided. */
async function shrink({ committer }: Brain, { id, subnets }: Network): Promise<number> {
  let decisions = 0;
  const [first] = subnets;
  if (first === undefined) throw new Error('a network without subnets');
  await committer.run(
    (context) => {
      decisions += 1;
      return updateNetwork(context, {
        ...{ id, labels: undefined, options: undefined, ifRevision: undefined },
        subnets: [wish(first.cidr)],
      });
    },
    { requestId: 'shrink', signal: withDeadline(PATIENCE_MS) },
  );
  return decisions;
}

const SUBNETS = [wish('10.1.0.0/16'), wish('10.2.0.0/16')];

describe('a network that endpoints come to without end', () => {
  const attach = (place: Place, to: NetworkId) => (stream: number, nth: number) =>
    place.operator.attach(to, place.host, { sandbox: `s${String(stream)}-${String(nth)}` });

  it('loses a subnet at the first few decisions', async () => {
    await using place = await openPlace();
    const network = await place.operator.create({ subnets: SUBNETS });
    let made = 0;
    {
      await using load = new Load(STREAMS, attach(place, network.id));
      for (let round = 0; round < 5; round += 1) {
        await pause(300, never);
        const before = load.made;
        expect(await shrink(place.brain, network)).toBeLessThanOrEqual(FEW);
        await pause(100, never);
        // They came all the time, and go on coming.
        expect(load.made).toBeGreaterThan(before);
        await place.operator.update(network.id, { subnets: SUBNETS });
      }
      made = load.made;
    }
    const state = await readState(store);
    expect(made).toBeGreaterThan(STREAMS);
    expect(state.endpoints.size).toBeGreaterThanOrEqual(made);
    expect(faultsOf(state)).toEqual([]);
  }, 60_000);

  it('loses a subnet while sandboxes that are on it come to another', async () => {
    await using place = await openPlace();
    const [network, other] = [
      await place.operator.create({ subnets: SUBNETS }),
      await place.operator.create({ subnets: [wish('10.3.0.0/16')] }),
    ];
    const streams = 8;
    const both = async (stream: number, nth: number): Promise<void> => {
      const at = { sandbox: `s${String(stream)}-${String(nth)}` };
      await place.operator.attach(network.id, place.host, at);
      await place.operator.attach(other.id, place.host, at);
    };
    {
      await using _load = new Load(streams, both);
      await pause(300, never);
      expect(await shrink(place.brain, network)).toBeLessThanOrEqual(FEW);
    }
    expect(faultsOf(await readState(store))).toEqual([]);
  }, 60_000);

  it('is said to be in use when it is to be removed', async () => {
    await using place = await openPlace();
    const network = await place.operator.create({ subnets: SUBNETS });
    await using _load = new Load(STREAMS, attach(place, network.id));
    const refusal = await refusalOf(place.operator.remove(network.id));
    expect(refusal.reason).toBe('NETWORK_IN_USE');
  }, 60_000);

  it('loses a subnet while another controller makes endpoints in it too', async () => {
    await using place = await openPlace();
    await using other = await openBrain(store, PLENTY);
    const network = await place.operator.create({ subnets: SUBNETS });
    await other.cache.atLeast(network.revision, never);
    const elsewhere: Place = { ...place, brain: other, operator: new Operator(other) };
    {
      await using _near = new Load(STREAMS, attach(place, network.id));
      // As many as leave a moment between one and the next now and then.
      await using _far = new Load(1, async (_stream, nth) => {
        await attach(elsewhere, network.id)(STREAMS, nth);
        await pause(20, never);
      });
      await pause(300, never);
      await shrink(place.brain, network);
    }
    const { networks, ...rest } = await readState(store);
    expect(networks.get(network.id)?.subnets.map(({ cidr }) => cidr)).toEqual(['10.1.0.0/16']);
    expect(faultsOf({ networks, ...rest })).toEqual([]);
  }, 60_000);
});
