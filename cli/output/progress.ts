/**
 * Long waits, told. On a terminal one line rewrites itself, after a second; elsewhere, where that is asked for, a line is
 * written when there is news and every ten seconds.
 */
import { systemClock, type Clock } from '../../core/clock.js';
import { pause } from '../../core/lifetime.js';
import type { Invocation } from '../invocation.js';
import type { Output } from '../surroundings.js';

const FIRST_MS = 1000;
const EVERY_MS = 1000;
/** The longest that a log of something in the background is without a line. */
const AGAIN_MS = 10_000;
const ERASE_LINE = '\r\u001b[K';

/** What is told where nobody watches: nothing, or lines for a log. */
export type OffTerminal = 'silent' | 'lines';

/** Waits for `work` while `describe` says, each second, what it is waiting for. A failure to describe is silent. */
export async function withProgress<T>(
  output: Output,
  describe: (signal: AbortSignal) => Promise<string>,
  work: () => Promise<T>,
  offTerminal: OffTerminal = 'silent',
): Promise<T> {
  if (!output.isTty && offTerminal === 'silent') return work();
  const stop = new AbortController();
  const line = output.isTty ? new RewrittenLine(output) : new LogLines(output);
  const teller = tell(line, describe, stop.signal);
  try {
    return await work();
  } finally {
    stop.abort();
    await teller;
  }
}

interface Teller {
  readonly show: (text: string) => void;
  readonly end: () => void;
}

async function tell(
  teller: Teller,
  describe: (signal: AbortSignal) => Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  let delayMs = FIRST_MS;
  while (await pause(delayMs, signal)) {
    delayMs = EVERY_MS;
    const text = await describe(signal).catch(() => undefined);
    if (signal.aborted) break;
    if (text !== undefined) teller.show(text);
  }
  teller.end();
}

class RewrittenLine implements Teller {
  #shown = false;
  constructor(private readonly output: Output) {}

  show(text: string): void {
    this.output.write(`${ERASE_LINE}${text}`);
    this.#shown = true;
  }

  end(): void {
    if (this.#shown) this.output.write(ERASE_LINE);
  }
}

/** A line for news, and one where there was none for ten seconds. */
export class LogLines implements Teller {
  readonly #begunMs: number;
  #last: { readonly text: string; readonly ms: number } | undefined;
  constructor(
    private readonly output: Output,
    private readonly clock: Pick<Clock, 'monotonicMs'> = systemClock,
  ) {
    this.#begunMs = clock.monotonicMs();
  }

  show(text: string): void {
    const ms = this.clock.monotonicMs();
    if (this.#last?.text === text && ms - this.#last.ms < AGAIN_MS - EVERY_MS / 2) return;
    this.#last = { text, ms };
    this.output.write(`weft: ${text} (${String(Math.round((ms - this.#begunMs) / 1000))} s)\n`);
  }

  end(): void {
    // Nothing to take away.
  }
}

/** As withProgress, for an agent, which does not say what it waits for. */
export function withAgentProgress<T>(invocation: Invocation, work: () => Promise<T>): Promise<T> {
  const describe = async (): Promise<string> =>
    `waiting for the agent, ${String(Math.round(invocation.elapsedMs() / 1000))} s...`;
  return withProgress(invocation.surroundings.stderr, describe, work);
}
