/** How a daemon lives: until SIGINT or SIGTERM, or until its work fails; the second signal does not wait. */
import { WeftError } from '../errors.js';
import type { Logger } from './log.js';

/** Runs `work` to its end and returns the process's exit status. The signal given to `work` aborts on SIGINT and SIGTERM. */
export async function runDaemon(log: Logger, work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(1);
    log.info({ signal: name }, 'stopping');
    stop.abort();
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
