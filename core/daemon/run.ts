/** How a daemon lives: until SIGINT or SIGTERM, or until its work fails; who asks again, later, is not kept waiting. */
import { WeftError } from '../errors.js';
import type { Logger } from './log.js';

/**
 * Milliseconds in which a signal said twice is one request: `timeout`, shells and supervisors send it to the process
 * and to its group. An exit at the second would leave behind what the daemon started, just when all is well.
 */
const SAME_REQUEST_MS = 1_000;

/**
 * Runs `work` to its end and returns the process's exit status. The signal given to `work` aborts on SIGINT and SIGTERM;
 * another one ends the process at once with status 1, unless it is the first one's echo.
 */
export async function runDaemon(log: Logger, work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const stop = new AbortController();
  let first: { readonly name: NodeJS.Signals; readonly at: number } | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    const now = performance.now();
    if (first === undefined) {
      first = { name, at: now };
      log.info({ signal: name }, 'stopping');
      stop.abort();
    } else if (name !== first.name || now - first.at > SAME_REQUEST_MS) {
      log.warn({ signal: name }, 'ended by a second signal, before everything was put in order');
      process.exit(1);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    await work(stop.signal);
    return 0;
  } catch (error) {
    if (error instanceof WeftError) log.fatal({ reason: error.reason }, error.message);
    else log.fatal({ err: error }, 'failed');
    return 1;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}
