/** One attachment of a sandbox: made and unmade in the cluster and in the kernel, its record kept in step. */
import type { Logger } from '../../core/daemon/log.js';
import { WeftError } from '../../core/errors.js';
import type { Endpoint } from '../../core/model.js';
import type { AttachmentRecord } from '../sandbox/record.js';
import type { SandboxRegistry } from '../sandbox/registry.js';
import type { Latest } from '../state/latest.js';
import { hasReached, type Settled } from '../state/settled.js';
import type { SyncState } from '../sync/client.js';
import type { Asking } from '../sync/controller.js';
import { findEndpoint } from './describe.js';
import type { EndpointCalls } from './endpoint-calls.js';
import { changed, type AttachmentChange } from './records.js';
import { alreadyConnected } from './refusals.js';

export interface AttachmentsOptions {
  readonly registry: SandboxRegistry;
  readonly calls: EndpointCalls;
  readonly sync: Latest<SyncState>;
  readonly settled: Latest<Settled>;
  /** Asks for a pass over the kernel. */
  readonly kick: () => void;
  readonly log: Logger;
  /** Called with the milliseconds an attach took. */
  readonly onAttached?: (durationMs: number) => void;
}

export class Attachments {
  readonly #options: AttachmentsOptions;

  constructor(options: AttachmentsOptions) {
    this.#options = options;
  }

  /** Makes the endpoint and waits until the kernel has it. */
  async attach(
    name: string,
    attachment: AttachmentRecord,
    asking: Asking,
  ): Promise<{ readonly endpoint: Endpoint; readonly revision: bigint }> {
    const startedAt = performance.now();
    const { calls, kick, settled } = this.#options;
    const { endpointId: id, network, aliases, addresses, mac, labels } = attachment;
    const wish = { id, network, sandbox: name, aliases, addresses, mac, labels };
    const { endpoint, revision } = await calls.create(wish, asking);
    const epoch = this.#epoch();
    const others = this.#options.registry.get(name)?.attachments ?? [];
    if (others.some((other) => other.endpointId !== id && other.networkId === endpoint.networkId)) {
      throw alreadyConnected(name, network);
    }
    // The disk follows; were this lost, the same endpoint would be asked for again.
    this.note(name, attachment, {
      state: 'attached',
      networkId: endpoint.networkId,
      revision: String(revision),
      epoch,
      problem: undefined,
      lost: undefined,
    }).catch(() => undefined);
    kick();
    const outcome = await settled
      .until(({ known, attached, failed }) => {
        if (attached.has(id)) return 'attached';
        if (known === undefined || !hasReached(known, { revision, epoch }, this.#epoch())) return undefined;
        const reason = failed.get(id);
        if (reason !== undefined) throw new WeftError({ reason: 'KERNEL_FAILED', message: reason });
        return findEndpoint(known, id)?.state === 'removing' || findEndpoint(known, id) === undefined
          ? 'removed'
          : undefined;
      }, asking.signal)
      .catch(this.late(name));
    if (outcome === 'removed') {
      throw new WeftError({
        reason: 'ENDPOINT_NOT_FOUND',
        message: `the endpoint in network ${network} was removed by somebody else`,
      });
    }
    this.#options.onAttached?.(performance.now() - startedAt);
    // In the kernel it is; that the store says so too is a matter of the next message.
    return { endpoint: { ...endpoint, state: 'ready' }, revision };
  }

  /** Unmakes the endpoint and waits until it is gone; the revision of that, 0 when there was none. */
  async detach(name: string, attachment: AttachmentRecord, asking: Asking): Promise<bigint> {
    const { calls, registry, sync } = this.#options;
    const { endpointId: id } = attachment;
    if (attachment.state !== 'removing') await this.note(name, attachment, { state: 'removing' });
    let gone: { readonly marked: bigint; readonly revision: bigint } | undefined;
    while (gone === undefined) {
      const epoch = this.#epoch();
      const marked = await calls.delete(id, asking);
      gone = await sync
        .until(({ known }) => {
          if (known === undefined || !hasReached(known, { revision: marked, epoch }, this.#epoch())) return undefined;
          if (findEndpoint(known, id) === undefined) return { marked, revision: known.revision };
          // A restored cluster may have it as it was before it was marked.
          return known.epoch === epoch ? undefined : 'again';
        }, asking.signal)
        .then((seen) => (seen === 'again' ? undefined : seen), this.late(name, 'gone'));
    }
    const { marked, revision } = gone;
    const record = registry.get(name);
    if (record !== undefined) {
      const attachments = record.attachments.filter(({ endpointId }) => endpointId !== id);
      await registry.put({ ...record, attachments });
    }
    this.#options.kick();
    return marked === 0n ? 0n : revision;
  }

  /** In which the answers of this moment's controller count their revisions. */
  #epoch(): string | undefined {
    return this.#options.sync.value.identity?.epoch;
  }

  /** Changes an attachment's record, in memory at once. The disk's failure is logged where nobody awaits it. */
  note(name: string, { endpointId }: AttachmentRecord, change: AttachmentChange): Promise<void> {
    const { registry, log } = this.#options;
    const record = registry.get(name);
    if (record === undefined) return Promise.resolve();
    const attachments = record.attachments.map((attachment) =>
      attachment.endpointId === endpointId ? changed(attachment, change) : attachment,
    );
    const written = registry.put({ ...record, attachments });
    written.catch((error: unknown) => {
      log.error({ err: error, sandbox: name }, 'the record of a sandbox cannot be written');
    });
    return written;
  }

  /** The error of a wait that was cut short, in words that say what was waited for. */
  late(name: string, what: 'ready' | 'gone' = 'ready'): (error: unknown) => never {
    return (error) => {
      if (error instanceof WeftError) throw error;
      const problems = this.#options.settled.value.problems.map(({ object, message }) => `${object}: ${message}`);
      const why = problems.length === 0 ? '' : ` (${problems.slice(0, 3).join('; ')})`;
      throw new WeftError(
        { reason: 'TIMED_OUT', message: `sandbox ${name} was not ${what} in time${why}` },
        { cause: error },
      );
    };
  }
}
