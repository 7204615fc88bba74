/**
 * Asks one other controller who of its hosts is behind, for as long as anybody waits for one of them: one question at a
 * time, however many wait and however many hosts they wait for. Who is behind a revision is behind every later one, so
 * the lowest that is waited for is the one to ask about.
 */
import type { ControllerId } from '../../core/ids.js';
import { anySignal, backoffMs, isAborted, pause, withDeadline } from '../../core/lifetime.js';
import type { PeerAnswer } from './heard.js';

export interface PeerQuestion {
  readonly revision: bigint;
  readonly minRevision: bigint;
  readonly patienceMs: number;
  readonly laggingOnly: boolean;
}

/** The way to the other controllers. Rejects with what a person can be told. */
export interface Peers {
  ask(
    controller: ControllerId,
    question: PeerQuestion,
    limits: { readonly signal: AbortSignal; readonly timeoutMs: number },
  ): Promise<PeerAnswer>;
}

export interface PeerPollOptions {
  readonly controller: ControllerId;
  readonly peers: Peers;
  /** The lowest revision that somebody waits for and that a host there is not known to have. */
  readonly demand: () => bigint | undefined;
  /** What is known here, which the other one has to know to tell of the same hosts. */
  readonly viewRevision: () => bigint;
  /** Resolves when this controller knows as much as the answer was given from. */
  readonly catchUp: (revision: bigint, signal: AbortSignal) => Promise<void>;
  /** Takes the answer in; whoever waited has looked at it when this returns. */
  readonly onAnswer: (answer: PeerAnswer, asked: bigint) => void;
}

/**
 * Milliseconds that a controller takes its time while hosts are behind: short at first, so that the reason is here when
 * somebody waits for a second only.
 */
const FIRST_PATIENCE_MS = 200;
const PATIENCE_MS = 1_000;

/** Milliseconds on top of that in which it has to answer. */
const ANSWER_MS = 2_000;

/** Milliseconds between an answer by which nobody was served and the next question. */
const GAP_MS = 20;

export class PeerPoll implements Disposable {
  readonly #options: PeerPollOptions;
  readonly #closing = new AbortController();
  #question: { readonly revision: bigint; readonly cancel: AbortController } | undefined;
  #running = false;
  #silence: string | undefined;

  constructor(options: PeerPollOptions) {
    this.#options = options;
  }

  /** Why the controller is not heard from; undefined: it is, or was not asked yet. */
  get silence(): string | undefined {
    return this.#silence;
  }

  /** Asks, if there is something to ask about that is not being asked already. */
  kick(): void {
    if (isAborted(this.#closing.signal)) return;
    if (this.#running) {
      const demand = this.#options.demand();
      // The question under way waits for a later revision, which may take for ever.
      if (this.#question !== undefined && demand !== undefined && demand < this.#question.revision) {
        this.#question.cancel.abort();
      }
      return;
    }
    this.#running = true;
    this.#run().catch((error: unknown) => {
      this.#running = false;
      this.#silence = messageOf(error);
    });
  }

  /** Nobody waits any more for what is being asked. */
  settle(): void {
    if (this.#options.demand() === undefined) this.#question?.cancel.abort();
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    const closing = this.#closing.signal;
    let failures = 0;
    let patienceMs = FIRST_PATIENCE_MS;
    for (;;) {
      const revision = isAborted(closing) ? undefined : this.#options.demand();
      if (revision === undefined) {
        // In the same step as the look, so that no kick falls between the two.
        this.#running = false;
        return;
      }
      const cancel = new AbortController();
      this.#question = { revision, cancel };
      try {
        await this.#ask(revision, patienceMs, anySignal(cancel.signal, closing));
        this.#silence = undefined;
        failures = 0;
        patienceMs = PATIENCE_MS;
        if (this.#options.demand() === revision) await pause(GAP_MS, closing);
      } catch (error) {
        if (isAborted(closing) || cancel.signal.aborted) continue;
        this.#silence = messageOf(error);
        await pause(backoffMs(failures, 100, 1_000), anySignal(cancel.signal, closing));
        failures += 1;
      } finally {
        this.#question = undefined;
      }
    }
  }

  async #ask(revision: bigint, patienceMs: number, signal: AbortSignal): Promise<void> {
    const { controller, peers, viewRevision, catchUp, onAnswer } = this.#options;
    const question = { revision, minRevision: viewRevision(), patienceMs, laggingOnly: true };
    const answer = await peers.ask(controller, question, { signal, timeoutMs: patienceMs + ANSWER_MS });
    await catchUp(answer.revision, withDeadline(ANSWER_MS, signal));
    onAnswer(answer, revision);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
