import { defineConfig } from 'vitest/config';
import { ClosingLine } from './deploy/closing-line.js';

const SECOND_MS = 1000;

export default defineConfig({
  test: {
    // Processes, not threads: setns(2) moves a thread, and a worker thread's pool is shared with its siblings.
    pool: 'forks',
    exclude: ['**/node_modules/**', 'dist/**'],
    reporters: ['default', new ClosingLine()],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{core,proto,controller,agent,cli,deploy,bench}/**/*.test.ts'],
          maxWorkers: 2,
          testTimeout: 20 * SECOND_MS,
          hookTimeout: 20 * SECOND_MS,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          // One lab at a time, after the unit tests: figures and deadlines mean nothing on a crowded machine.
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          maxWorkers: 1,
          testTimeout: 300 * SECOND_MS,
          hookTimeout: 180 * SECOND_MS,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
