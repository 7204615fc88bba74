/** The log both daemons write: JSON lines on stderr, one logger made in `main` and handed down. */
import { destination, pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Written synchronously, so that the last line before a crash is there. */
export function createLogger(options: { daemon: string; level: LogLevel }): Logger {
  return pino(
    {
      level: options.level,
      base: { daemon: options.daemon, pid: process.pid },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 2, sync: true }),
  );
}
