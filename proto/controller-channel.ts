/**
 * The way to any of several controllers, as one channel: all calls of a process go to the same one, because it holds
 * what the others learn only from it (a host's session). gRPC keeps to it while it answers and goes through the list
 * when its connection ends, a quarter of a second for each that is silent. What gRPC cannot know is that a controller
 * which does answer is of no use: for that there is `moveOn`.
 */
import type { Channel, ChannelCredentials, ChannelInterface } from '@grpc/grpc-js';
import { openChannel } from './channel.js';
import { renderPlace, targetOf, type ControllerPlace } from './controller-list.js';

export class ControllerChannel implements ChannelInterface {
  readonly #credentials: ChannelCredentials;
  #order: readonly ControllerPlace[];
  #inner: Channel;
  #closed = false;

  /** Connects when it is first used, to the first of `places` that answers. `places`: at least one. */
  constructor(places: readonly ControllerPlace[], credentials: ChannelCredentials) {
    this.#credentials = credentials;
    this.#order = places;
    this.#inner = this.#open();
  }

  /** How many controllers there are to go to. */
  get size(): number {
    return this.#order.length;
  }

  /**
   * Lets go of the connection there is, and has the next call make another, without the waits that gRPC puts between
   * tries: to every other controller before this one. `peer`: who it was, as `getPeer` of a call says. Calls that are
   * under way go on, unless they still wait for a connection.
   */
  moveOn(peer?: string): void {
    if (this.#closed) return;
    const left = this.#order.findIndex((place) => renderPlace(place) === peer);
    // Another form of the address, or a name, or none was reached: each in turn.
    const at = left < 0 ? 0 : left;
    this.#order = [...this.#order.slice(at + 1), ...this.#order.slice(0, at + 1)];
    const before = this.#inner;
    this.#inner = this.#open();
    before.close();
  }

  createCall(...args: Parameters<Channel['createCall']>): ReturnType<Channel['createCall']> {
    return this.#inner.createCall(...args);
  }

  close(): void {
    this.#closed = true;
    this.#inner.close();
  }

  getTarget(): string {
    return this.#inner.getTarget();
  }

  getConnectivityState(tryToConnect: boolean): ReturnType<Channel['getConnectivityState']> {
    return this.#inner.getConnectivityState(tryToConnect);
  }

  watchConnectivityState(...args: Parameters<Channel['watchConnectivityState']>): void {
    this.#inner.watchConnectivityState(...args);
  }

  getChannelzRef(): ReturnType<Channel['getChannelzRef']> {
    return this.#inner.getChannelzRef();
  }

  #open(): Channel {
    return openChannel(targetOf(this.#order), this.#credentials);
  }
}

/** The same in an order of its own, so that many who have the same list spread over it. */
export function shuffled<T>(items: readonly T[], random: () => number = Math.random): readonly T[] {
  const left = [...items];
  return items.flatMap(() => left.splice(Math.floor(random() * left.length), 1));
}
