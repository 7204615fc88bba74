import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from './lab.js';
import { checkoutDirectory } from './layout.js';

let dir: string;
let lab: Lab;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-attach-'));
  lab = await Lab.create({ name: 'one', hosts: 1, dir });
});
afterAll(async () => {
  await lab.down();
  rmSync(dir, { recursive: true });
});

/** A shell script that says when it listens, and then waits in short steps, ten seconds at most. */
const waiting = (traps: string, ready: string): string =>
  `${traps}; : > ${ready}; n=0; while [ $n -lt 500 ]; do sleep 0.02; n=$((n+1)); done`;

describe('a program that has this terminal', () => {
  it.each([
    [['true'], 0],
    [['sh', '-c', 'exit 42'], 42],
    [['sh', '-c', 'kill -TERM $$'], 143],
    [['sh', '-c', 'kill -KILL $$'], 137],
    [['/nonexistent/program'], 127],
  ])('%j ends with %d', async (argv, status) => {
    expect(await lab.machine('h1').attach(argv)).toBe(status);
  });

  it.each(['SIGTERM', 'SIGHUP', 'SIGUSR1'] as const)('is given %s, and only while it runs', async (signal) => {
    const ready = path.join(dir, signal);
    const before = process.listenerCount(signal);
    const running = lab.machine('h1').attach(['sh', '-c', waiting(`trap 'exit 7' ${signal.slice(3)}`, ready)]);
    await expect.poll(() => existsSync(ready), { timeout: 5000 }).toBe(true);
    process.kill(process.pid, signal);
    expect(await running).toBe(7);
    expect(process.listenerCount(signal)).toBe(before);
  });

  it('is interrupted once by Ctrl-C, and waited for while it ends in its own way', async () => {
    const ready = path.join(dir, 'interrupt-ready');
    const program = path.join(dir, 'program.sh');
    writeFileSync(program, waiting(`trap 'sleep 0.3; echo "ended as it likes"; exit 9' INT`, ready));
    const weft = path.join(checkoutDirectory(), 'bin/weft');
    // script(1) is the terminal; with -e it ends with the status of what it ran. Its shell, were it to stay, would be
    // ended by the Ctrl-C and be the one that answers.
    const line = `exec ${weft} lab exec --lab one h1 -- sh ${program}`;
    const terminal = spawn('script', ['-qefc', line, '/dev/null'], { env: { ...process.env, WEFT_LAB_DIR: dir } });
    let said = '';
    terminal.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => existsSync(ready), { timeout: 10_000 }).toBe(true);
    terminal.stdin.write('\u0003');
    const [code] = (await once(terminal, 'exit')) as [number | null];
    expect(said.match(/ended as it likes/g)).toHaveLength(1);
    expect(code).toBe(9);
  });
});
