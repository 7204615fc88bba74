/** What a daemon holds, released in the opposite order: each release is tried, whatever became of the others. */
import { allSettledOrThrow } from '../core/lifetime.js';

/** As the language's AsyncDisposableStack, which Node 20 does not have. */
export class Teardown implements AsyncDisposable {
  #steps: (() => Promise<void> | void)[] = [];

  /** Takes ownership of a resource, and gives it back for use. */
  use<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.defer(() =>
      Symbol.asyncDispose in resource ? Promise.resolve(resource[Symbol.asyncDispose]()) : resource[Symbol.dispose](),
    );
    return resource;
  }

  defer(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Rejects with an AggregateError of what failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const steps = this.#steps.reverse();
    this.#steps = [];
    await allSettledOrThrow('stopping', steps);
  }
}
