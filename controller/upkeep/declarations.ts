/**
 * Which hosts have said what they run since the cluster's state was restored. Before all have, nothing is allocated:
 * what is free in the restored state may be held in some kernel.
 */
import type { Clock } from '../../core/clock.js';
import type { Logger } from '../../core/daemon/log.js';
import type { Rejection } from '../../core/errors.js';
import type { Host } from '../../core/model.js';
import type { View } from '../cache/view.js';
import type { Commits } from '../commit/commit.js';
import type { Decision } from '../domain/decision.js';
import { parseObjectKey } from '../store/keys.js';
import type { Transaction } from '../store/store.js';
import { namesOf } from './warnings.js';

/** Milliseconds from a controller's start in an epoch for which hosts are waited for. */
const PATIENCE_MS = 10 * 60_000;

export interface DeclarationsOptions {
  readonly view: () => View;
  readonly epoch: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: ten minutes. */
  readonly patienceMs?: number | undefined;
  /** Called when hosts are given up. */
  readonly onGivenUp?: () => void;
}

export class Declarations implements Disposable {
  readonly #options: DeclarationsOptions;
  readonly #startedMs: number;
  readonly #patienceMs: number;
  readonly #timer: NodeJS.Timeout;
  /** Every host of the restored state has declared itself; whoever joins later has nothing from before. */
  #complete = false;

  constructor(options: DeclarationsOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#timer = setTimeout(() => {
      const hosts = this.givenUp();
      if (hosts.length === 0) return;
      options.log.warn({ hosts: namesOf(hosts) }, 'hosts said nothing since the restore; going on without');
      options.onGivenUp?.();
    }, this.#patienceMs + 1);
    this.#timer.unref();
  }

  /** Hosts that are waited for. */
  awaited(): readonly Host[] {
    return this.#isOver() ? [] : this.#undeclared();
  }

  /** Hosts that were waited for long enough. */
  givenUp(): readonly Host[] {
    return this.#isOver() ? this.#undeclared() : [];
  }

  /** Runs commands as `committer` does, but for those that need every host's word: refused with HOSTS_UNDECLARED. */
  gate(committer: Commits): Commits {
    const refuse = <Result>(decision: Decision<Result>): Decision<Result> =>
      'kind' in decision && decision.kind === 'commit' && needsAll(decision.transaction)
        ? (this.#refusal() ?? decision)
        : decision;
    return { run: (decide, options) => committer.run((context) => refuse(decide(context)), options) };
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #refusal(): Rejection | undefined {
    const hosts = this.awaited();
    return hosts.length === 0
      ? undefined
      : {
          reason: 'HOSTS_UNDECLARED',
          message:
            `the state was restored from a backup, and nothing is allocated before every host has said what it runs; ` +
            `awaited: ${namesOf(hosts)}`,
          metadata: {
            hosts: hosts
              .map(({ name }) => name)
              .sort()
              .join(','),
          },
        };
  }

  #undeclared(): readonly Host[] {
    if (this.#complete) return [];
    const { view, epoch } = this.#options;
    const hosts = [...view().hosts.values()].filter(({ declaredEpoch }) => declaredEpoch !== epoch);
    this.#complete = hosts.length === 0;
    return hosts;
  }

  #isOver(): boolean {
    return this.#options.clock.monotonicMs() - this.#startedMs >= this.#patienceMs;
  }
}

/** Whether a transaction takes something that was free, or lets a whole network go. */
function needsAll({ compares, deletes }: Transaction): boolean {
  return (
    compares.some(({ kind }) => kind === 'absent') || deletes.some((key) => parseObjectKey(key)?.kind === 'network')
  );
}
