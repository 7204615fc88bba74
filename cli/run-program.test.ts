import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runProgram } from './run-program.js';

describe('runProgram', () => {
  it.each([
    [['true'], 0],
    [['sh', '-c', 'exit 42'], 42],
    [['sh', '-c', 'kill -TERM $$'], 143],
    [['sh', '-c', 'kill -KILL $$'], 137],
  ] as const)('%j ends with %d', async (argv, status) => {
    expect(await runProgram(argv)).toBe(status);
  });

  it('rejects when the program does not exist', async () => {
    await expect(runProgram(['/nonexistent/program'])).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each(['SIGUSR2', 'SIGTERM', 'SIGHUP'] as const)(
    'passes %s on, and only while the program runs',
    async (signal) => {
      const directory = mkdtempSync(path.join(tmpdir(), 'weft-run-'));
      try {
        const ready = path.join(directory, 'ready');
        const before = process.listenerCount(signal);
        // The trap runs between two commands, so the shell sleeps in short steps, and at most ten seconds.
        const script = `trap 'exit 7' ${signal.slice(3)}; : > "$0"; n=0; while [ $n -lt 500 ]; do sleep 0.02; n=$((n+1)); done`;
        const running = runProgram(['sh', '-c', script, ready]);
        await expect.poll(() => existsSync(ready), { timeout: 5000 }).toBe(true);
        process.kill(process.pid, signal);
        expect(await running).toBe(7);
        expect(process.listenerCount(signal)).toBe(before);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );
});
