/** What the ids in events are called: known from earlier events, or asked for once. */
import { WeftError } from '../core/errors.js';
import type { Event } from '../proto/gen/weft/v1/watch.js';
import type { Controllers } from './connect.js';
import type { Names } from './output/events.js';
import { shortId } from './output/short-id.js';

/** Milliseconds to find out what something is called. */
const NAME_MS = 5_000;

export class EventNames implements Names {
  readonly #controllers: Pick<Controllers, 'networks' | 'hosts' | 'ask'>;
  readonly #names = new Map<string, string>();

  constructor(controllers: Pick<Controllers, 'networks' | 'hosts' | 'ask'>) {
    this.#controllers = controllers;
  }

  learn({ object }: Event): void {
    if (object?.$case === 'network' || object?.$case === 'host') this.#names.set(object.value.id, object.value.name);
  }

  network(id: string): Promise<string> {
    const { networks, ask } = this.#controllers;
    return this.#nameOf(id, async () => {
      const limits = { timeoutMs: NAME_MS };
      return (await ask(networks.get.bind(networks), { network: id, minRevision: 0n }, limits)).network?.name;
    });
  }

  host(id: string): Promise<string> {
    const { hosts, ask } = this.#controllers;
    return this.#nameOf(id, async () => {
      const limits = { timeoutMs: NAME_MS };
      return (await ask(hosts.get.bind(hosts), { host: id, minRevision: 0n }, limits)).host?.name;
    });
  }

  /** What is gone, or cannot be asked for, is called by the id that tables show. */
  async #nameOf(id: string, ask: () => Promise<string | undefined>): Promise<string> {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    let name: string | undefined;
    try {
      name = await ask();
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      // No controller answers: it may be known the next time.
      if (error.status !== 'NOT_FOUND') return shortId(id);
    }
    const called = name ?? shortId(id);
    this.#names.set(id, called);
    return called;
  }
}
