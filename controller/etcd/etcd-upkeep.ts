/**
 * Keeps an etcd of the controller's own from growing without end. History is compacted far behind the head, what that
 * frees is given back to the disk, and an etcd that has run out of space all the same is brought back to taking writes.
 * An etcd of somebody else is never touched.
 */
import type { Logger } from '../../core/daemon/log.js';
import { isAborted, pause } from '../../core/lifetime.js';
import { NoAnswer, readPages } from './etcd-pages.js';
import { readFacts, type MemberFacts } from './etcd-status.js';
import { EtcdConnection } from '../store/etcd-connection.js';
import type { EtcdTls } from '../store/etcd-tls.js';
import { StoreRefused, StoreUnavailable } from '../store/store.js';

/** What is kept of history: so many revisions, and this much time. 3.4 may drop watch events around a compaction
 * (https://github.com/etcd-io/etcd/issues/18089), and who follows from far behind would have to list anew. */
export const KEPT_REVISIONS = 100_000n;
export const KEPT_MS = 60 * 60_000;

/** What is kept when there is no space for more, of what came since the last look. */
const KEPT_AT_LEAST = 100n;

/** Share of the quota from which on time does not count any more. */
const PRESSING_PERCENT = 70n;

/** A file below this is not worth a defragmentation, during which etcd answers nobody. */
const WORTHWHILE_BYTES = 64n * 1024n * 1024n;

/** Revisions that a compaction at least does away with, unless space is short. */
const STEP = 5_000n;

/** What there is to go by. */
export interface UpkeepFacts {
  readonly facts: Pick<MemberFacts, 'size' | 'sizeInUse' | 'quota'>;
  /** The head. */
  readonly revision: bigint;
  /** The head as it was KEPT_MS ago; undefined: nobody knows yet. */
  readonly revisionThen: bigint | undefined;
  /** The head at the last look; 0: this is the first. */
  readonly revisionBefore: bigint;
  /** Up to where it is compacted, as far as is known here. */
  readonly compacted: bigint;
  readonly noSpace: boolean;
}

export interface UpkeepPlan {
  /** Undefined: not now. */
  readonly compactTo: bigint | undefined;
  /** Once compacted, if that is to be done too. */
  readonly defragment: boolean;
}

/** What to do now. Pure. */
export function planUpkeep(given: UpkeepFacts): UpkeepPlan {
  const { facts, revision, revisionThen, revisionBefore, compacted, noSpace } = given;
  const pressing = facts.size * 100n >= facts.quota * PRESSING_PERCENT;
  const byCount = revision - KEPT_REVISIONS;
  // Without space only removals are taken. What they remove is freed by a compaction up to them, however few they are;
  // whoever follows has heard of those that were there at the last look.
  const target = noSpace
    ? larger(revision - KEPT_AT_LEAST, revisionBefore)
    : pressing
      ? byCount
      : revisionThen === undefined
        ? 0n
        : smaller(byCount, revisionThen);
  const compactTo = target > compacted + (noSpace ? 0n : STEP) ? target : undefined;
  return { compactTo, defragment: noSpace || isHollow(facts) };
}

/** Whether less than half of the file holds anything, and that half matters. */
function isHollow({ size, sizeInUse }: UpkeepFacts['facts']): boolean {
  return size >= WORTHWHILE_BYTES && sizeInUse * 2n < size;
}

/** Which revision was the head when. */
export class RevisionClock {
  readonly #samples: { readonly atMs: number; readonly revision: bigint }[] = [];

  constructor(
    readonly keptMs: number,
    readonly everyMs: number,
  ) {}

  note(atMs: number, revision: bigint): void {
    const last = this.#samples.at(-1);
    if (last === undefined || atMs - last.atMs >= this.everyMs) this.#samples.push({ atMs, revision });
    // Of those that are old enough the newest is kept.
    while ((this.#samples[1]?.atMs ?? Infinity) <= atMs - this.keptMs) this.#samples.shift();
  }

  /** The newest head that is at least `keptMs` old; undefined: none is. */
  then(nowMs: number): bigint | undefined {
    const [oldest] = this.#samples;
    return oldest !== undefined && oldest.atMs <= nowMs - this.keptMs ? oldest.revision : undefined;
  }
}

export interface UpkeepOptions {
  readonly endpoint: string;
  readonly tls: EtcdTls;
  readonly log: Logger;
  /** Milliseconds from one look to the next. Default 5,000. */
  readonly everyMs?: number;
}

/** etcd gets this long to answer what it knows, and for a compaction or a defragmentation. */
const ANSWER_MS = 5_000;
const WORK_MS = 10 * 60_000;

/** After an attempt that freed too little the next waits this long: meanwhile etcd answers at least reads. */
const AGAIN_MS = 60_000;

/** Share of the quota below which an etcd that had no space is let write again. */
const DISARM_PERCENT = 95n;

const MINUTE_MS = 60_000;

/** Runs until the signal aborts. Never rejects: what fails is logged, and tried again. */
export async function keepUp(options: UpkeepOptions, signal: AbortSignal): Promise<void> {
  using upkeep = new Upkeep(options);
  do {
    await upkeep.look(signal);
  } while (await pause(options.everyMs ?? 5_000, signal));
}

class Upkeep implements Disposable {
  readonly #options: UpkeepOptions;
  /** For what is answered at once, and for what takes its time. */
  readonly #quick: EtcdConnection;
  readonly #slow: EtcdConnection;
  readonly #clock = new RevisionClock(KEPT_MS, MINUTE_MS);
  #compacted = 0n;
  /** The head at the last look. */
  #head = 0n;
  /** Whether the alarm may be raised for all we know: at the start, and after a failure. */
  #doubtful = true;
  #silent = false;
  #notBeforeMs = 0;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    const { endpoint, tls } = options;
    const at = { endpoints: [endpoint], tls, patienceMs: 0 };
    this.#quick = new EtcdConnection({ ...at, callTimeoutMs: ANSWER_MS });
    this.#slow = new EtcdConnection({ ...at, callTimeoutMs: WORK_MS });
  }

  [Symbol.dispose](): void {
    this.#quick[Symbol.dispose]();
    this.#slow[Symbol.dispose]();
  }

  async look(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#look(signal);
      if (this.#silent) log.info('etcd answers again');
      this.#silent = false;
    } catch (error) {
      if (isAborted(signal)) return;
      const expected = error instanceof NoAnswer || error instanceof StoreUnavailable || error instanceof StoreRefused;
      this.#doubtful = true;
      if (!expected) log.error({ err: error }, 'the upkeep of etcd failed');
      else if (!this.#silent) log.warn({ err: error }, 'etcd does not answer its upkeep');
      this.#silent = expected;
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const facts = await this.#facts(signal);
    const revision = await this.#revision(signal);
    const nowMs = performance.now();
    this.#clock.note(nowMs, revision);
    const then = { revisionThen: this.#clock.then(nowMs), revisionBefore: this.#head };
    this.#head = revision;
    // Asking costs etcd a write, and it is raised only where there is next to no space.
    const noSpace = (this.#doubtful || facts.size * 10n >= facts.quota * 9n) && (await this.#noSpace(signal));
    this.#doubtful = false;
    const plan = planUpkeep({ facts, revision, ...then, compacted: this.#compacted, noSpace });
    // Not so where something has been removed since.
    if (noSpace && nowMs < this.#notBeforeMs && plan.compactTo === undefined) return;
    if (plan.compactTo !== undefined) await this.#compact(plan.compactTo, signal);
    if (noSpace) await this.#makeSpace(facts, signal);
    else if (plan.defragment) await this.#defragment(facts, signal);
  }

  /** Equivalent to `etcdctl compact --physical <revision>`: returns when the space is free within the file. */
  async #compact(revision: bigint, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    try {
      const request = { revision: String(revision), physical: true };
      await this.#slow.once((kv, call) => kv.compact(request, call), signal);
      log.info({ revision }, 'compacted etcd');
    } catch (error) {
      // It is compacted further than was known here.
      if (!(error instanceof StoreRefused)) throw error;
    }
    this.#compacted = revision;
  }

  /** Equivalent to `etcdctl defrag`. */
  async #defragment(before: MemberFacts, signal: AbortSignal): Promise<MemberFacts> {
    const began = performance.now();
    await this.#slow.once((_, call, client) => client.maintenance.defragment(call), signal);
    const ms = Math.round(performance.now() - began);
    const after = await this.#facts(signal);
    this.#options.log.info({ before: before.size, after: after.size, ms }, 'defragmented etcd');
    return after;
  }

  /** Equivalent to `etcdctl defrag` and, where that helped, `etcdctl alarm disarm`. */
  async #makeSpace(before: MemberFacts, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    log.error({ size: before.size, quota: before.quota }, 'etcd has no space and takes no writes: making room');
    const { size, quota } = await this.#defragment(before, signal);
    if (size * 100n >= quota * DISARM_PERCENT) {
      this.#notBeforeMs = performance.now() + AGAIN_MS;
      log.error(
        { size, quota },
        'etcd has no space, and all of it is in use: remove what is not needed, or raise --etcd-quota',
      );
      return;
    }
    const { alarms } = await this.#alarms(signal);
    for (const { memberID, alarm } of alarms) {
      if (alarm.toUpperCase() !== 'NOSPACE') continue;
      const request = { action: 'Deactivate', memberID, alarm } as const;
      await this.#quick.once((_, call, client) => client.maintenance.alarm(request, call), signal);
    }
    log.warn({ size, quota }, 'etcd has space again, and takes writes');
  }

  async #noSpace(signal: AbortSignal): Promise<boolean> {
    const { alarms } = await this.#alarms(signal);
    return alarms.some(({ alarm }) => alarm.toUpperCase() === 'NOSPACE');
  }

  #alarms(signal: AbortSignal) {
    return this.#quick.once((_, call, client) => client.maintenance.alarm({ action: 'Get' }, call), signal);
  }

  async #revision(signal: AbortSignal): Promise<bigint> {
    const { header } = await this.#quick.once(
      (kv, call) => kv.range({ key: Buffer.from('/'), limit: 1 }, call),
      signal,
    );
    return BigInt(header.revision);
  }

  async #facts(signal: AbortSignal): Promise<MemberFacts> {
    const { endpoint, tls } = this.#options;
    const [version, metrics] = await readPages(endpoint, ['/version', '/metrics'], { tls, signal });
    const facts = readFacts(version, metrics);
    if (facts === undefined) throw new NoAnswer('what answers there is no etcd');
    return facts;
  }
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
