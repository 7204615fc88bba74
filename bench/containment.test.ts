import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pause, withDeadline } from '../core/lifetime.js';
import { checkoutDirectory } from '../e2e/lab/layout.js';
import { identify, isAlive, listPids, namespaceOf, variableOf, type ProcessIdentity } from '../e2e/lab/procfs.js';
import { runContained } from './containment.js';

/** A program that starts another in a session of its own, as an etcd is, and then does not listen to anybody. */
const STUBBORN = [
  process.execPath,
  '--input-type=module',
  '-e',
  `import { spawn } from 'node:child_process';
   import { writeFileSync } from 'node:fs';
   spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
   writeFileSync(process.env.TMPDIR + '/started', '');
   for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);`,
];

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'weft-containment-'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

function contain(argv: readonly string[], limitMs = 60_000): { ended: Promise<number>; said: string[] } {
  const said: string[] = [];
  return { said, ended: runContained(argv, { limitMs, place, say: (text) => said.push(text) }) };
}

/** Everything that was started with its files in `place`. */
function processesIn(where: string): ProcessIdentity[] {
  return listPids()
    .filter((pid) => variableOf(pid, 'TMPDIR')?.startsWith(where) === true)
    .map((pid) => identify(pid))
    .filter((found) => found !== undefined);
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = withDeadline(20_000);
  while (!holds()) if (!(await pause(20, deadline))) throw new Error('it never came');
}

const hasStarted = (): boolean => readdirSync(place).some((name) => existsSync(join(place, name, 'started')));

describe('what is contained', () => {
  it('has files and namespaces of its own, and ends with its exit status', async () => {
    const look = `const { readdirSync, readlinkSync, writeFileSync } = require('node:fs');
      const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
      writeFileSync(${JSON.stringify(place)} + '/seen', JSON.stringify({
        pids, temporary: process.env.TMPDIR, labs: process.env.WEFT_LAB_DIR, mounts: readlinkSync('/proc/self/ns/mnt'),
      }));
      process.exitCode = 7;`;
    const { ended, said } = contain([process.execPath, '-e', look]);
    expect(await ended).toBe(7);
    const seen = JSON.parse(readFileSync(join(place, 'seen'), 'utf8')) as Record<string, unknown>;
    expect(seen).toMatchObject({ pids: ['1'], labs: `${String(seen['temporary'])}/labs` });
    expect(seen['mounts']).not.toBe(namespaceOf(process.pid, 'mnt'));
    expect(String(seen['temporary'])).toMatch(/\/weft-bench-\d+-\d+-\d+$/);
    expect(readdirSync(place)).toEqual(['seen']);
    expect(said).toEqual([]);
  });

  it('ends with all it started when its time is over', async () => {
    const { ended, said } = contain(STUBBORN, 3_000);
    await until(hasStarted);
    const there = processesIn(place);
    expect(there.length).toBeGreaterThanOrEqual(3);
    expect(await ended).toBe(1);
    expect(there.filter(isAlive)).toEqual([]);
    expect(readdirSync(place)).toEqual([]);
    expect(said).toEqual(['not done after 3 s; ending everything']);
  });

  it('leaves what is not a dead run’s directory', async () => {
    const own = /\d+/.exec(namespaceOf(process.pid, 'pid') ?? '')?.[0] ?? '';
    const me = identify(process.pid);
    const kept = [
      'weft-bench-etcd-abc',
      `weft-bench-1${own}-2-3`,
      `weft-bench-${own}-${String(me?.pid)}-${String(me?.startTime)}x`,
    ];
    for (const name of [...kept, `weft-bench-${own}-${String(process.pid)}-1`])
      mkdirSync(join(place, name, 'in'), { recursive: true });
    expect(await contain(['true']).ended).toBe(0);
    expect(readdirSync(place).sort()).toEqual(kept.sort());
  });
});

describe('bench as a program', () => {
  let bench: ChildProcess | undefined;
  afterEach(() => bench?.kill('SIGKILL'));

  /** Returns when an etcd runs. */
  async function startBench(): Promise<{
    child: ChildProcess;
    stderr: () => string;
    there: readonly ProcessIdentity[];
  }> {
    const child = spawn(process.execPath, [join(checkoutDirectory(), 'deploy', 'start.js'), 'bench', 'ipam'], {
      env: { ...process.env, TMPDIR: place },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    bench = child;
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
    await until(() => listPids().some((pid) => variableOf(pid, 'WEFT_ETCD') !== undefined && isOurs(pid)));
    return { child, stderr: () => text, there: [...processesIn(place), ...etcds()] };
  }

  /** etcd is started with nothing of our environment; but where its files are, it says. */
  const isOurs = (pid: number): boolean => {
    const directory = readdirSync(place)[0];
    return (
      directory !== undefined && readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').includes(join(place, directory))
    );
  };
  const etcds = (): ProcessIdentity[] =>
    listPids()
      .filter((pid) => variableOf(pid, 'WEFT_ETCD') !== undefined && isOurs(pid))
      .map((pid) => identify(pid))
      .filter((found) => found !== undefined);

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends it with everything, at once', async (signal, status) => {
    const { child, stderr, there } = await startBench();
    const exited = once(child, 'close');
    child.kill(signal);
    expect((await exited)[0]).toBe(status);
    expect(there.filter(isAlive)).toEqual([]);
    expect(readdirSync(place)).toEqual([]);
    expect(stderr()).toMatch(new RegExp(`\\nbench: ${signal}; ending everything\\n$`));
  });

  it('SIGKILL ends everything too; its files go with the next run', async () => {
    const { child, there } = await startBench();
    child.kill('SIGKILL');
    await until(() => there.every((process) => !isAlive(process)));
    expect(readdirSync(place)).toHaveLength(1);
    expect(await contain(['true']).ended).toBe(0);
    expect(readdirSync(place)).toEqual([]);
  });
});
