/** The way to an etcd cluster: one endpoint at a time, the next when it fails, and patience with what may be repeated. */
import { backoffMs, pause } from '../../core/lifetime.js';
import { EtcdEndpoint, type EtcdCall, type EtcdRenewals, type EtcdWatch } from './etcd-endpoint.js';
import type { EtcdTls } from './etcd-tls.js';
import { StoreUnavailable } from './store.js';

export interface EtcdOptions {
  /** `https://host:port` or `host:port`, at least one. */
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
  /** Milliseconds one call may take. Longer than a leader election (1-2 s), so that one is survived. Default 5,000. */
  readonly callTimeoutMs?: number;
  /** Milliseconds that reads, and the way to a first answer, are repeated before they are given up. Default 10,000. */
  readonly patienceMs?: number;
  /**
   * Milliseconds of silence after which a connection in use is asked for a sign of life. etcd drops clients that ask
   * more often than its `--grpc-keepalive-min-time` (5 s). Default 10,000.
   */
  readonly keepaliveMs?: number;
}

/** A stream of the endpoint in use. `givenUp` ends it, and goes on with the next endpoint. */
type Opened<Stream> = Stream & { readonly givenUp: () => void };

/** The first try of a call that is repeated gets this long, each further one twice as long, up to callTimeoutMs. */
const FIRST_TRY_MS = 1_000;

export class EtcdConnection implements Disposable {
  readonly callTimeoutMs: number;
  readonly patienceMs: number;
  readonly #endpoints: readonly EtcdEndpoint[];
  #current = 0;
  /** Whether the current endpoint has yet to answer since it was chosen or since it failed. */
  #doubtful = true;
  #closed = false;

  /** Connects when first used. Throws RangeError for endpoints that are none. */
  constructor(options: EtcdOptions) {
    if (options.endpoints.length === 0) throw new RangeError('no etcd endpoints');
    this.callTimeoutMs = options.callTimeoutMs ?? 5_000;
    this.patienceMs = options.patienceMs ?? 10_000;
    const { tls, keepaliveMs = 10_000 } = options;
    this.#endpoints = options.endpoints.map(
      (address, index) => new EtcdEndpoint({ address, tls, keepaliveMs, onFailure: () => this.#leave(index) }),
    );
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * One call, sent at most once. When the endpoint is in doubt it is first asked something harmless, on this endpoint
   * or another, so that a dead one rarely costs a call whose outcome is then unknown.
   */
  async once<T>(call: EtcdCall<T>, signal: AbortSignal): Promise<T> {
    await this.#reassure(signal);
    return this.#try((endpoint) => endpoint.call(call, this.callTimeoutMs, signal), signal);
  }

  /** The same for a call whose bytes are made and read by the caller: see EtcdEndpoint.send. */
  async send(path: string, request: Buffer, signal: AbortSignal): Promise<Buffer> {
    await this.#reassure(signal);
    return this.#try((endpoint) => endpoint.send(path, { request, timeoutMs: this.callTimeoutMs, signal }), signal);
  }

  /** A call that changes nothing, repeated until it is answered or patience is at its end. */
  async repeat<T>(call: EtcdCall<T>, signal: AbortSignal): Promise<T> {
    const giveUpAt = performance.now() + this.patienceMs;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const timeoutMs = Math.min(FIRST_TRY_MS * 2 ** attempt, this.callTimeoutMs);
        return await this.#try((endpoint) => endpoint.call(call, timeoutMs, signal), signal);
      } catch (error) {
        const waitMs = backoffMs(attempt, 20, 400);
        if (!(error instanceof StoreUnavailable) || this.#closed || performance.now() + waitMs > giveUpAt) throw error;
        if (!(await pause(waitMs, signal))) signal.throwIfAborted();
      }
    }
  }

  /** A new, empty watch stream. Whoever opened it disposes of it, and says `givenUp` when it was not even answered. */
  openWatch(): Promise<Opened<EtcdWatch>> {
    return this.#open((endpoint) => endpoint.openWatch());
  }

  /** The same for renewing leases. */
  openRenewals(): Promise<Opened<EtcdRenewals>> {
    return this.#open((endpoint) => endpoint.openRenewals());
  }

  async #open<Stream extends Disposable>(open: (endpoint: EtcdEndpoint) => Promise<Stream>): Promise<Opened<Stream>> {
    this.#assertOpen();
    const endpoint = this.#current;
    const opened = await open(this.#at(endpoint));
    const givenUp = (): void => {
      opened[Symbol.dispose]();
      this.#leave(endpoint);
    };
    return { ...opened, givenUp };
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const endpoint of this.#endpoints) endpoint[Symbol.dispose]();
  }

  /** Has a doubtful endpoint, or another, prove itself by something harmless. */
  async #reassure(signal: AbortSignal): Promise<void> {
    if (!this.#doubtful) return;
    await this.repeat((kv, options) => kv.range({ key: Buffer.from('/'), limit: 1 }, options), signal);
  }

  async #try<T>(call: (endpoint: EtcdEndpoint) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#assertOpen();
    const endpoint = this.#current;
    try {
      const answer = await call(this.#at(endpoint));
      if (endpoint === this.#current) this.#doubtful = false;
      return answer;
    } catch (error) {
      // Cancelled by our own closing, perhaps.
      if (error instanceof StoreUnavailable) this.#assertOpen();
      throw error;
    }
  }

  /** Goes to the next endpoint, unless somebody already has. */
  #leave(endpoint: number): void {
    if (endpoint !== this.#current) return;
    this.#current = (endpoint + 1) % this.#endpoints.length;
    this.#doubtful = true;
  }

  #at(index: number): EtcdEndpoint {
    const endpoint = this.#endpoints[index];
    if (endpoint === undefined) throw new RangeError(`no endpoint ${String(index)}`);
    return endpoint;
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreUnavailable('the store is closed');
  }
}
