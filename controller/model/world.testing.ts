/**
 * For tests: two controllers on one store, and what is asked of them. After every burst the store itself is looked at:
 * what is wrong with its state, and with how it came from the one before, is said in sentences.
 */
import type { IpAddress } from '../../core/address.js';
import { WeftError, type Reason } from '../../core/errors.js';
import type { EndpointId } from '../../core/ids.js';
import { pause, withDeadline } from '../../core/lifetime.js';
import type { Endpoint, Network } from '../../core/model.js';
import { createEndpoint, deleteEndpoint, markReady, releaseEndpoint, type CreateEndpoint } from '../domain/endpoint.js';
import { registerHost } from '../domain/host.js';
import { updateNetwork } from '../domain/network-update.js';
import { createNetwork, deleteNetwork } from '../domain/network.js';
import type { Settings } from '../domain/settings.js';
import type { Store } from '../store/store.js';
import { openBrain, type Brain } from '../testing.js';
import { judge } from './judge.testing.js';
import type { Answer, Request, Step } from './step.testing.js';
import { LossyStore } from './lossy-store.testing.js';
import {
  HOST_IDS,
  POOLS,
  endpointIdOf,
  networkIdOf,
  toCreateEndpoint,
  toCreateNetwork,
  toUpdateNetwork,
  type Burst,
  type Operation,
} from './operations.testing.js';
import { faultsOf, readState, restingName, type StoredState } from './stored-state.testing.js';

export interface WorldOptions {
  readonly store: Store;
  readonly settings: Settings;
  /** Milliseconds by which a quarantine may last longer than asked for. */
  readonly lateMs: number;
}

const never = (): AbortSignal => new AbortController().signal;

/** What surrounds one command. */
const run = () => ({ requestId: 'a test', signal: never() });

interface Controller extends AsyncDisposable {
  readonly brain: Brain;
  readonly store: LossyStore;
}

export class World implements AsyncDisposable {
  readonly #options: WorldOptions;
  readonly #controllers: readonly [Controller, Controller];
  /** The last create of each id that was done. */
  readonly #creates = new Map<EndpointId, CreateEndpoint>();
  /** When, at the earliest, each address was given back the last time: `<network> <address>`. */
  readonly #released = new Map<string, number>();
  #state: StoredState;
  /** How often each answer was given: that a test meets what it is for. */
  readonly seen = new Map<string, number>();

  private constructor(
    options: WorldOptions,
    parts: { readonly controllers: readonly [Controller, Controller]; readonly state: StoredState },
  ) {
    this.#options = options;
    this.#controllers = parts.controllers;
    this.#state = parts.state;
  }

  static async open(options: WorldOptions): Promise<World> {
    const [first, second] = await Promise.all([openOne(options), openOne(options)]);
    for (const [index, id] of HOST_IDS.entries()) {
      const vtep = `192.0.2.${String(index + 1)}` as IpAddress;
      const command = { id, name: `h${String(index)}`, vtep, version: '0', prefixes: [], declaredEpoch: 'a test' };
      await first.brain.committer.run((context) => registerHost(context, command), run());
    }
    return new World(options, { controllers: [first, second], state: await readState(options.store) });
  }

  get faultsMet(): number {
    return this.#controllers.reduce((sum, { store }) => sum + store.met, 0);
  }

  /** Does all of it at the same time; what is wrong afterwards. */
  async run(burst: Burst): Promise<string[]> {
    if (burst.wait) await this.rest();
    const before = await this.#settle();
    // A resting address may have ended meanwhile, and that is all.
    const requests = burst.operations.map(({ controller, operation }) => ({
      ...{ controller: this.#controllers[controller], request: this.#toRequest(operation, before) },
    }));
    for (const [index, { store }] of this.#controllers.entries()) store.faults = [...(burst.faults[index] ?? [])];
    const began = performance.now();
    const answers = await Promise.all(requests.map(({ controller, request }) => this.#ask(controller, request)));
    const muted = burst.faults.some((faults) => faults.includes('silent'));
    const after = await this.#settle();
    const ended = performance.now();
    const step = { before, after, answers, muted };
    const faults = [
      ...faultsOf(after),
      ...judge(step, { settings: this.#options.settings, pools: POOLS }),
      ...this.#quarantineFaults(step, ended),
    ];
    this.#remember(step, began);
    return faults;
  }

  /** Until no address rests any more. */
  async rest(): Promise<void> {
    const { quarantineMs } = this.#options.settings;
    const deadline = withDeadline(quarantineMs * 1.125 + this.#options.lateMs, never());
    while ((await this.#settle()).resting.size > 0) {
      if (!(await pause(20, deadline))) throw new Error('addresses rest for too long');
    }
  }

  /** Takes everything away again; what is left then, besides the hosts. */
  async clear(): Promise<string[]> {
    await this.#settle();
    const [{ brain }] = this.#controllers;
    for (const { id } of this.#state.endpoints.values()) {
      await brain.committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), run());
      await brain.committer.run((context) => releaseEndpoint(context, { id, hostId: undefined }), run());
    }
    for (const id of this.#state.networks.keys()) {
      await brain.committer.run((context) => deleteNetwork(context, id), run());
    }
    const { networks, endpoints, resting, ...left } = await this.#settle();
    const objects = [...networks.keys(), ...endpoints.keys(), ...resting];
    return [...objects.map((key) => `${key} is left`), ...faultsOf({ networks, endpoints, resting, ...left })];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const controller of this.#controllers) await controller[Symbol.asyncDispose]();
  }

  /** Waits until everything has arrived, and both controllers have seen it. */
  async #settle(): Promise<StoredState> {
    for (const { store } of this.#controllers) await store.heal();
    this.#state = await readState(this.#options.store);
    for (const { brain } of this.#controllers) await brain.cache.atLeast(this.#state.revision, never());
    return this.#state;
  }

  #toRequest(operation: Operation, state: StoredState): Request {
    switch (operation.do) {
      case 'createNetwork':
        return { do: 'createNetwork', command: toCreateNetwork(operation) };
      case 'updateNetwork':
        return { do: 'updateNetwork', command: toUpdateNetwork(operation, state) };
      case 'deleteNetwork':
        return { do: 'deleteNetwork', id: networkIdOf(operation.slot) };
      case 'createEndpoint':
        return { do: 'createEndpoint', command: toCreateEndpoint(operation, state) };
      case 'repeatCreate': {
        const id = endpointIdOf(operation.slot);
        const command = this.#creates.get(id);
        return command === undefined ? { do: 'markReady', id } : { do: 'createEndpoint', command };
      }
      default:
        return { do: operation.do, id: endpointIdOf(operation.slot) };
    }
  }

  async #ask({ brain: { committer } }: Controller, request: Request): Promise<Answer> {
    let network: Network | undefined;
    let endpoint: Endpoint | undefined;
    let refusal: Reason | undefined;
    let message = '';
    try {
      switch (request.do) {
        case 'createNetwork':
          network = (await committer.run((context) => createNetwork(context, request.command, POOLS), run())).result;
          break;
        case 'updateNetwork':
          network = (await committer.run((context) => updateNetwork(context, request.command), run())).result;
          break;
        case 'deleteNetwork':
          await committer.run((context) => deleteNetwork(context, request.id), run());
          break;
        case 'createEndpoint':
          endpoint = (await committer.run((context) => createEndpoint(context, request.command), run())).result;
          break;
        default: {
          const rule = { delete: deleteEndpoint, markReady, release: releaseEndpoint }[request.do];
          await committer.run((context) => rule(context, { id: request.id, hostId: undefined }), run());
        }
      }
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      refusal = error.reason;
      message = error.message;
    }
    const name = `${request.do}: ${refusal ?? 'done'}`;
    this.seen.set(name, (this.seen.get(name) ?? 0) + 1);
    return { request, refusal, message, network, endpoint };
  }

  /** An address that nobody named must have rested since it was given back. */
  #quarantineFaults({ before, after, answers }: Step, ended: number): string[] {
    const faults: string[] = [];
    for (const { id, networkId, addresses } of after.endpoints.values()) {
      const known = before.endpoints.get(id);
      const named = answers.flatMap(({ request }) =>
        request.do === 'createEndpoint' && request.command.id === id ? request.command.addresses : [],
      );
      for (const address of addresses) {
        if (known?.addresses.includes(address) === true || named.includes(address)) continue;
        const released = this.#released.get(restingName(networkId, address));
        if (released === undefined || ended - released >= this.#options.settings.quarantineMs) continue;
        faults.push(
          `${address} was chosen for ${id} ${(ended - released).toFixed()} ms after it was given back, at most`,
        );
      }
    }
    return faults;
  }

  #remember({ before, after, answers }: Step, began: number): void {
    for (const { request, endpoint } of answers) {
      if (request.do === 'createEndpoint' && endpoint !== undefined) {
        this.#creates.set(request.command.id, request.command);
      }
      // Nothing of a network outlives it.
      if (request.do !== 'deleteNetwork') continue;
      for (const name of [...this.#released.keys()]) if (name.startsWith(request.id)) this.#released.delete(name);
    }
    for (const { id, networkId, addresses } of before.endpoints.values()) {
      if (answers.some(({ request }) => request.do === 'deleteNetwork' && request.id === networkId)) continue;
      const kept = after.endpoints.get(id)?.addresses ?? [];
      for (const address of addresses) {
        if (!kept.includes(address)) this.#released.set(restingName(networkId, address), began);
      }
    }
  }
}

async function openOne({ store: inner, settings }: WorldOptions): Promise<Controller> {
  const store = new LossyStore(inner);
  const brain = await openBrain(store, settings);
  return {
    ...{ brain, store },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await brain[Symbol.asyncDispose]();
    },
  };
}
