/** Long waits, told on one line that rewrites itself. Only on a terminal, and only after a second. */
import { pause } from '../../core/lifetime.js';
import type { Invocation } from '../invocation.js';
import type { Output } from '../surroundings.js';

const FIRST_MS = 1000;
const EVERY_MS = 1000;
const ERASE_LINE = '\r\u001b[K';

/** Waits for `work` while `describe` says, each second, what it is waiting for. A failure to describe is silent. */
export async function withProgress<T>(
  output: Output,
  describe: (signal: AbortSignal) => Promise<string>,
  work: () => Promise<T>,
): Promise<T> {
  if (!output.isTty) return work();
  const stop = new AbortController();
  const teller = tell(output, describe, stop.signal);
  try {
    return await work();
  } finally {
    stop.abort();
    await teller;
  }
}

async function tell(
  output: Output,
  describe: (signal: AbortSignal) => Promise<string>,
  signal: AbortSignal,
): Promise<void> {
  let shown = false;
  let delayMs = FIRST_MS;
  while (await pause(delayMs, signal)) {
    delayMs = EVERY_MS;
    const text = await describe(signal).catch(() => undefined);
    if (signal.aborted) break;
    if (text === undefined) continue;
    output.write(`${ERASE_LINE}${text}`);
    shown = true;
  }
  if (shown) output.write(ERASE_LINE);
}

/** As withProgress, for an agent, which does not say what it waits for. */
export function withAgentProgress<T>(invocation: Invocation, work: () => Promise<T>): Promise<T> {
  const describe = async (): Promise<string> =>
    `waiting for the agent, ${String(Math.round(invocation.elapsedMs() / 1000))} s...`;
  return withProgress(invocation.surroundings.stderr, describe, work);
}
