/**
 * Brings sandboxes to what their records say. Every change is recorded first, with the ids of the endpoints it needs, and
 * carried out from the record: so an agent that dies in between finishes it when it starts again, under the same ids.
 *
 * A request that fails is undone: what it wanted is recorded as to be removed, and removed; where that has to wait (no
 * controller can be reached), it happens later by itself.
 */
import { WeftError } from '../../core/errors.js';
import type { HostId } from '../../core/ids.js';
import { backoffMs, pause, withDeadline } from '../../core/lifetime.js';
import type { Endpoint } from '../../core/model.js';
import type { SandboxFiles } from '../sandbox/files.js';
import type { AttachmentRecord, SandboxRecord } from '../sandbox/record.js';
import type { Known } from '../state/settled.js';
import type { Asking } from '../sync/controller.js';
import type { Asked, At, JoinRequest, SandboxInfo, Sandboxes } from './adapter.js';
import { Attachments, type AttachmentsOptions } from './attachments.js';
import { describeSandbox, findEndpoint } from './describe.js';
import { isPassing } from './endpoint-calls.js';
import {
  changed,
  findAttachment,
  isOpen,
  isUnfinished,
  recordOf,
  recordOfLost,
  recordOfWish,
  wishesFor,
} from './records.js';
import { alreadyConnected, notFound } from './refusals.js';
import { Turns } from './turns.js';

/** How long an undo may keep the caller waiting for its error; after that it goes on by itself. */
const UNDO_MS = 5_000;
/** The same where the caller's time is up: its error must reach it before its own deadline does, which tells nothing. */
const UNDO_LATE_MS = 100;
const CARRY_ON_FIRST_MS = 500;
const CARRY_ON_CAP_MS = 30_000;
/** How long carrying on may keep others from the sandbox: what cannot be done meanwhile is tried again in its next turn. */
const CARRY_ON_TURN_MS = 5_000;

export interface KeeperOptions extends AttachmentsOptions {
  readonly hostId: HostId;
  readonly files: SandboxFiles;
  /** Path of a sandbox's namespace. */
  readonly netnsOf: (name: string) => string;
  /** Ends with the agent. */
  readonly signal: AbortSignal;
}

export class SandboxKeeper implements Sandboxes {
  readonly #options: KeeperOptions;
  readonly #attachments: Attachments;
  readonly #turns = new Turns();
  readonly #carrying = new Map<string, Promise<void>>();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#attachments = new Attachments(options);
  }

  /** Carries on with whatever was interrupted, and follows what others do to this host's endpoints. */
  start(): void {
    for (const record of this.#options.registry.list()) if (isUnfinished(record)) this.#carryOn(record.name);
    this.#options.sync.subscribe(({ known }) => {
      if (known !== undefined) this.#follow(known);
    });
  }

  /** Resolves when nothing is carried on any more, which the keeper's signal hastens. */
  async stopped(): Promise<void> {
    await Promise.allSettled([...this.#carrying.values()]);
    await this.#options.registry.flushed();
  }

  create(name: string, joins: readonly JoinRequest[], asked: Asked): Promise<At<SandboxInfo>> {
    return this.#turns.take(name, asked.signal, async () => {
      const { registry, files, kick, settled } = this.#options;
      this.#refuseExisting(name);
      const attachments = joins.reduce<AttachmentRecord[]>(
        (done, join) => [...done, recordOf(join, done, asked.requestId)],
        [],
      );
      await registry.put({ name, state: 'present', attachments });
      kick();
      try {
        const made = await Promise.allSettled(
          attachments.map((attachment) => this.#attachments.attach(name, attachment, asked)),
        );
        const revision = highest(made.map((result) => fulfilled(result).revision));
        await settled
          .until(({ sandboxes }) => sandboxes.has(name) || undefined, asked.signal)
          .catch(this.#attachments.late(name));
        if (asked.wait && revision > 0n) await this.#options.calls.wait(revision, asked);
        return { value: describeSandbox(name, this.#sources(), files), revision };
      } catch (error) {
        await this.#undo(name, { all: true }, asked);
        throw error;
      }
    });
  }

  connect(name: string, join: JoinRequest, asked: Asked): Promise<At<Endpoint>> {
    return this.#turns.take(name, asked.signal, async () => {
      const record = this.#need(name);
      if (findAttachment(record, join.network, this.#known()) !== undefined) throw alreadyConnected(name, join.network);
      const attachment = recordOf(join, record.attachments, asked.requestId);
      await this.#options.registry.put({ ...record, attachments: [...record.attachments, attachment] });
      try {
        const { endpoint, revision } = await this.#attachments.attach(name, attachment, asked);
        if (asked.wait) await this.#options.calls.wait(revision, asked);
        return { value: endpoint, revision };
      } catch (error) {
        await this.#undo(name, { only: attachment.endpointId }, asked);
        throw error;
      }
    });
  }

  disconnect(name: string, network: string, asked: Asked): Promise<bigint> {
    return this.#turns.take(name, asked.signal, async () => {
      const record = this.#need(name);
      const attachment = findAttachment(record, network, this.#known());
      if (attachment === undefined) {
        throw new WeftError({
          reason: 'NOT_CONNECTED',
          message: `sandbox ${name} is not connected to network ${network}`,
        });
      }
      try {
        const revision = await this.#attachments.detach(name, attachment, asked);
        if (asked.wait && revision > 0n) await this.#options.calls.wait(revision, asked);
        return revision;
      } catch (error) {
        this.#carryOn(name);
        throw error;
      }
    });
  }

  remove(name: string, asked: Asked): Promise<bigint> {
    return this.#turns.take(name, asked.signal, async () => {
      if (this.#options.registry.get(name) === undefined) throw notFound(name);
      try {
        const revision = await this.#remove(name, asked);
        if (asked.wait && revision > 0n) await this.#options.calls.wait(revision, asked);
        return revision;
      } catch (error) {
        this.#carryOn(name);
        throw error;
      }
    });
  }

  get(name: string): SandboxInfo {
    if (this.#options.registry.get(name) === undefined) throw notFound(name);
    return describeSandbox(name, this.#sources(), this.#options.files);
  }

  list(): SandboxInfo[] {
    return this.#options.registry.list().map(({ name }) => describeSandbox(name, this.#sources(), this.#options.files));
  }

  #sources() {
    const { registry, settled, netnsOf } = this.#options;
    return { record: (name: string) => registry.get(name), known: this.#known(), settled: settled.value, netnsOf };
  }

  #known(): Known | undefined {
    return this.#options.sync.value.known;
  }

  #need(name: string): SandboxRecord {
    const record = this.#options.registry.get(name);
    if (record === undefined) throw notFound(name);
    if (record.state === 'removing') {
      throw new WeftError({ reason: 'SANDBOX_BUSY', message: `sandbox ${name} is being removed` });
    }
    return record;
  }

  #refuseExisting(name: string): void {
    const { registry } = this.#options;
    const record = registry.namesake(name);
    if (record?.state === 'removing') {
      throw new WeftError({
        reason: 'SANDBOX_BUSY',
        message: `sandbox ${record.name} is still being removed; try again`,
      });
    }
    if (record === undefined && !registry.isUnreadable(name)) return;
    const taken = record?.name ?? name;
    throw new WeftError({
      reason: 'SANDBOX_EXISTS',
      message: `there is a sandbox ${taken} on this host already; choose another name, or remove it first`,
    });
  }

  async #remove(name: string, asking: Asking): Promise<bigint> {
    const { registry, kick, settled } = this.#options;
    const record = registry.get(name);
    if (record === undefined) return 0n;
    const attachments = record.attachments.map((attachment) => ({ ...attachment, state: 'removing' as const }));
    await registry.put({ ...record, state: 'removing', attachments });
    const gone = await Promise.allSettled(
      attachments.map((attachment) => this.#attachments.detach(name, attachment, asking)),
    );
    const revision = highest(gone.map(fulfilled));
    await registry.drop(name);
    kick();
    await settled
      .until(({ sandboxes }) => (sandboxes.has(name) ? undefined : true), asking.signal)
      .catch(this.#attachments.late(name, 'gone'));
    return revision;
  }

  /** Takes back what a failed request wanted; carries on later where that cannot be done at once. */
  async #undo(name: string, what: { all: true } | { only: string }, asked: Asked): Promise<void> {
    const patienceMs = asked.signal.aborted ? UNDO_LATE_MS : UNDO_MS;
    const asking = { requestId: asked.requestId, signal: withDeadline(patienceMs, this.#options.signal) };
    try {
      if ('all' in what) {
        await this.#remove(name, asking);
      } else {
        const attachment = this.#options.registry.get(name)?.attachments.find((one) => one.endpointId === what.only);
        if (attachment !== undefined) await this.#attachments.detach(name, attachment, asking);
      }
    } catch (error) {
      this.#options.log.warn({ err: error, sandbox: name, requestId: asked.requestId }, 'the undo goes on later');
      this.#carryOn(name);
    }
  }

  /** Brings a sandbox to what its record says, however long that takes. */
  #carryOn(name: string): void {
    if (this.#carrying.has(name) || this.#options.signal.aborted) return;
    const run = this.#carryOnUntilDone(name).finally(() => {
      this.#carrying.delete(name);
    });
    run.catch((error: unknown) => {
      this.#options.log.error({ err: error, sandbox: name }, 'an interrupted change cannot be carried on');
    });
    this.#carrying.set(name, run);
  }

  async #carryOnUntilDone(name: string): Promise<void> {
    const { registry, signal, log } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#turns.take(name, signal, () => this.#finish(name));
        const record = registry.get(name);
        if (record === undefined || !isUnfinished(record)) return;
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, sandbox: name, attempt }, 'an interrupted change could not be carried on yet');
      }
      if (!(await pause(backoffMs(attempt, CARRY_ON_FIRST_MS, CARRY_ON_CAP_MS), signal))) return;
    }
  }

  async #finish(name: string): Promise<void> {
    const { registry, signal } = this.#options;
    const record = registry.get(name);
    if (record === undefined) return;
    if (record.state === 'removing') {
      const requestId = record.attachments[0]?.requestId ?? name;
      await this.#remove(name, { signal: withDeadline(CARRY_ON_TURN_MS, signal), requestId });
      return;
    }
    const unfinished = record.attachments.filter(isOpen);
    const results = await Promise.allSettled(
      unfinished.map(async (attachment) => {
        const asking = { signal: withDeadline(CARRY_ON_TURN_MS, signal), requestId: attachment.requestId };
        if (attachment.state === 'removing') await this.#attachments.detach(name, attachment, asking);
        else await this.#attachOrSayWhyNot(name, attachment, asking);
      }),
    );
    for (const result of results) fulfilled(result);
  }

  /** Nobody waits for this answer any more, so a refusal becomes the sandbox's problem. */
  async #attachOrSayWhyNot(name: string, attachment: AttachmentRecord, asking: Asking): Promise<void> {
    try {
      await this.#attachments.attach(name, attachment, asking);
    } catch (error) {
      if (!(error instanceof WeftError) || isPassing(error)) throw error;
      const problem = `network ${attachment.network}: ${error.message}`;
      if (problem !== attachment.problem) await this.#attachments.note(name, attachment, { state: 'wanted', problem });
    }
  }

  /**
   * Takes in what others did: endpoints wished for here are attached, endpoints removed elsewhere are forgotten, and
   * those that a restored cluster does not have, or that were taken back while this host was gone, are made again.
   */
  #follow(known: Known): void {
    const { registry, hostId } = this.#options;
    for (const record of registry.list()) {
      if (record.state === 'removing') continue;
      const kept = record.attachments.flatMap((attachment) => this.#following(attachment, known));
      const wished = wishesFor(record, known, hostId).reduce<AttachmentRecord[]>(
        (done, endpoint) => [...done, recordOfWish(endpoint, [...kept, ...done], known)],
        [],
      );
      const isSame =
        kept.length === record.attachments.length && kept.every((each, at) => each === record.attachments[at]);
      if (isSame && wished.length === 0) continue;
      const written = registry.put({ ...record, attachments: [...kept, ...wished] });
      written.catch((error: unknown) => {
        this.#options.log.error({ err: error, sandbox: record.name }, 'the record of a sandbox cannot be written');
      });
      if (kept.some((each) => each.lost !== undefined && isOpen(each))) this.#carryOn(record.name);
    }
  }

  /** What becomes of an attachment at a view: the very same one where nothing changed, none where it is to be forgotten. */
  #following(attachment: AttachmentRecord, known: Known): AttachmentRecord[] {
    const { endpointId, state, revision, epoch, incarnation } = attachment;
    if (state !== 'attached') return [attachment];
    const endpoint = findEndpoint(known, endpointId);
    if (endpoint !== undefined) {
      const isAsRecorded = epoch === known.epoch && incarnation === known.incarnation;
      const now = { epoch: known.epoch, incarnation: known.incarnation, revision: String(endpoint.revision) };
      return [isAsRecorded ? attachment : changed(attachment, now)];
    }
    if (epoch !== undefined && epoch !== known.epoch) {
      this.#options.log.warn({ endpointId, network: attachment.network }, 'the restored cluster does not have it');
      return [recordOfLost(attachment, 'restored')];
    }
    if (incarnation !== undefined && incarnation !== known.incarnation) {
      this.#options.log.warn({ endpointId, network: attachment.network }, 'it was taken back while this host was gone');
      return [recordOfLost(attachment, 'fenced')];
    }
    return known.revision >= BigInt(revision ?? 0) ? [] : [attachment];
  }
}

function highest(revisions: readonly bigint[]): bigint {
  return revisions.reduce((high, revision) => (revision > high ? revision : high), 0n);
}

/** The value of a settled promise; throws the reason of a failed one. */
function fulfilled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'fulfilled') return result.value;
  throw result.reason instanceof Error ? result.reason : new Error(String(result.reason));
}
