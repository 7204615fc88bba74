import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LabError } from './lab-error.js';
import { Lab } from './lab.js';
import { checkoutDirectory } from './layout.js';
import { identify, isAlive, listPids, namespaceOf, type ProcessIdentity } from './procfs.js';
import type { Progress } from './progress.js';

let dir: string;
let links: string;
const namespacesOf = (pid: number): string[] =>
  (['net', 'mnt', 'pid'] as const).flatMap((kind) => namespaceOf(pid, kind) ?? []);
const own = namespacesOf(process.pid);
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-lab-test-'));
  links = execFileSync('ip', ['-brief', 'link'], { encoding: 'utf8' });
});
afterEach(async () => {
  for (const { name } of Lab.list({ dir })) await Lab.down(name, { dir });
  rmSync(dir, { recursive: true });
});

/** Every namespace of every machine of the labs in `dir`, and every process in one of them. */
interface Trace {
  readonly namespaces: readonly string[];
  readonly inside: readonly ProcessIdentity[];
}

function trace(): Trace {
  const namespaces = holdersIn(dir)
    .flatMap(namespacesOf)
    .filter((id) => !own.includes(id));
  const inside = listPids().filter((pid) => namespacesOf(pid).some((id) => namespaces.includes(id)));
  return { namespaces: [...new Set(namespaces)], inside: inside.map(identify).filter((found) => found !== undefined) };
}

/**
 * Whatever runs beside this test, nothing of its own lab is left: directory, process, mount, device. Its namespaces are
 * looked for by what was in them: the kernel gives their numbers to others at once.
 */
function expectNothingOf(name: string, { inside }: Trace): void {
  expect(existsSync(path.join(dir, name))).toBe(false);
  expect(holdersIn(path.join(dir, name))).toEqual([]);
  expect(inside.filter(isAlive)).toEqual([]);
  // lsns also knows namespaces that a mount holds, without any process.
  const held = execFileSync('lsns', ['--noheadings', '--output', 'NSFS'], { encoding: 'utf8' });
  expect(held).not.toContain(dir);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  expect(execFileSync('ip', ['-brief', 'link'], { encoding: 'utf8' })).toBe(links);
}

async function pings(lab: Lab, from: string, address: string): Promise<number> {
  return (await lab.machine(from).exec(['ping', '-c', '1', '-W', '2', address])).code;
}

describe('a lab', () => {
  it('joins its machines by an underlay for both families, without a way out', async () => {
    const progress: Progress[] = [];
    const lab = await Lab.create({ name: 'one', hosts: 3, dir, onProgress: (item) => progress.push(item) });
    expect(lab.hosts.map(({ name }) => name)).toEqual(['h1', 'h2', 'h3']);
    for (const from of ['h1', 'h2', 'h3', 'c1']) {
      for (const to of ['192.0.2.1', '192.0.2.3', '192.0.2.201', '2001:db8::2', '2001:db8::c1']) {
        expect([from, to, await pings(lab, from, to)]).toEqual([from, to, 0]);
      }
      expect(await lab.machine(from).must(['ip', 'route', 'show', 'default'])).toBe('');
      expect(await lab.machine(from).must(['ip', '-6', 'route', 'show', 'default'])).toBe('');
    }
    expect(await pings(lab, 'h1', '198.51.100.1')).not.toBe(0);
    expect(progress.map(({ step, state }) => [step, state])).toEqual([
      ['machines h1 h2 h3 c1', 'begun'],
      ['machines h1 h2 h3 c1', 'done'],
    ]);
    const before = trace();
    // Of each of the five machines at least its network, mount and pid namespace.
    expect(before.namespaces.length).toBeGreaterThanOrEqual(15);
    await lab.down();
    expectNothingOf('one', before);
  });

  it('gives every machine its own /run, name, processes and devices', async () => {
    await using lab = await Lab.create({ name: 'own', hosts: 2, dir });
    await lab.host('h1').must(['ip', 'netns', 'add', 'mine']);
    expect(lab.host('h1').namespaces()).toEqual(['mine']);
    expect(lab.host('h2').namespaces()).toEqual([]);
    expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).not.toContain('mine');
    expect(await lab.host('h2').must(['hostname'])).toBe('h2\n');
    expect(await lab.host('h1').links()).toEqual(['lo', 'eth0']);
    const kept = await lab.host('h1').spawn(['sleep', '1000'], { log: 'sleep' });
    expect(lab.host('h1').programs()).toMatchObject([{ command: 'sleep', argv: ['sleep', '1000'] }]);
    expect(lab.host('h2').programs()).toEqual([]);
    await kept.kill();
    expect(lab.host('h1').programs()).toEqual([]);
  });

  it('collects orphans on its machines', async () => {
    await using lab = await Lab.create({ name: 'orphans', hosts: 1, dir });
    await lab.host('h1').must(['setsid', '--fork', 'true']);
    await expect.poll(() => lab.host('h1').programs()).toEqual([]);
  });

  it('stands beside another one', async () => {
    const [one, two] = await Promise.all(['one', 'two'].map((name) => Lab.create({ name, hosts: 2, dir })));
    if (one === undefined || two === undefined) throw new Error('unreachable');
    expect(Lab.list({ dir }).map(({ name, state }) => [name, state])).toEqual([
      ['one', 'up'],
      ['two', 'up'],
    ]);
    const before = trace();
    await one.down();
    expect(await pings(two, 'h1', '192.0.2.2')).toBe(0);
    await two.down();
    expectNothingOf('one', before);
    expectNothingOf('two', before);
  });

  it('is opened by another process than made it, which can end it', async () => {
    const made = await Lab.create({ name: 'shared', hosts: 1, dir });
    const opened = Lab.open('shared', { dir });
    expect(opened.host('h1').holder).toEqual(made.host('h1').holder);
    expect((await opened.host('h1').exec(['true'])).code).toBe(0);
    const before = trace();
    await opened.down();
    expectNothingOf('shared', before);
    expect(await Lab.down('shared', { dir })).toBe(false);
  });
});

describe('refusals', () => {
  it.each(['', '..', 'a/b', '.hidden', '-x', 'x'.repeat(64)])('%j is no name of a lab', async (name) => {
    await expect(Lab.create({ name, dir })).rejects.toMatchObject({ kind: 'invalid' });
    await expect(Lab.down(name, { dir })).rejects.toBeInstanceOf(LabError);
  });

  it.each([0, 101, 1.5])('%d is no number of hosts', async (hosts) => {
    await expect(Lab.create({ name: 'x', hosts, dir })).rejects.toMatchObject({ kind: 'invalid' });
  });

  it('a lab that exists is not made again, and not disturbed', async () => {
    await using lab = await Lab.create({ name: 'x', hosts: 1, dir });
    await expect(Lab.create({ name: 'x', dir })).rejects.toMatchObject({ kind: 'exists' });
    expect(Lab.open('x', { dir }).hosts.map(({ name }) => name)).toEqual(lab.hosts.map(({ name }) => name));
  });

  it('a lab that does not exist is not found', () => {
    expect(() => Lab.open('nobody', { dir })).toThrow(LabError);
  });
});

describe('running programs', () => {
  it('tells status, output and what was given, and passes only the given environment', async () => {
    await using lab = await Lab.create({ name: 'x', hosts: 1, dir });
    const h1 = lab.host('h1');
    expect(await h1.exec(['cat'], { input: 'héllo' })).toEqual({ code: 0, stdout: 'héllo', stderr: '' });
    expect((await h1.exec(['false'])).code).toBe(1);
    expect((await h1.exec(['no-such-program'])).code).toBe(127);
    process.env['WEFT_LAB_TEST'] = 'outside';
    const seen = (await h1.must(['env'], { env: { GIVEN: 'yes' } })).split('\n');
    delete process.env['WEFT_LAB_TEST'];
    expect(seen).toContain('GIVEN=yes');
    expect(seen).toContain('WEFT_CONTROLLER=192.0.2.201:7070');
    expect(seen.filter((line) => line.startsWith('WEFT_LAB'))).toEqual([]);
  });

  it('kills on the host what takes too long, or is given up', async () => {
    await using lab = await Lab.create({ name: 'x', hosts: 1, dir });
    const h1 = lab.host('h1');
    await expect(h1.exec(['sleep', '1000'], { timeoutMs: 200 })).rejects.toMatchObject({ kind: 'timed-out' });
    const stop = new AbortController();
    const given = h1.exec(['sleep', '1000'], { signal: stop.signal });
    await expect.poll(() => h1.programs().length).toBe(1);
    stop.abort(new Error('given up'));
    await expect(given).rejects.toThrow('given up');
    await expect.poll(() => h1.programs()).toEqual([]);
  });

  it('says how a kept one ended, and keeps its output', async () => {
    await using lab = await Lab.create({ name: 'x', hosts: 1, dir });
    const h1 = lab.host('h1');
    const sleeper = await h1.spawn(['sleep', '1000'], { log: 'sleeper' });
    expect(sleeper.running).toBe(true);
    expect(await sleeper.stop()).toEqual({ code: undefined, signal: 'SIGTERM' });
    const speaker = await h1.spawn(['dd', 'if=/dev/zero', 'of=/dev/null', 'count=20000'], { log: 'speaker' });
    expect(await speaker.exited()).toEqual({ code: 0, signal: undefined });
    expect(speaker.logTail()).toContain('20000+0 records in');
  });
});

describe('a process that made a lab', () => {
  it('ends when it has nothing more to do, and not before: the lab stays, and what it waits for is seen', async () => {
    const script = `
      const lab = await Lab.create(JSON.parse(process.argv[1]));
      const [h1] = lab.hosts;
      const sleeper = await h1.spawn(['sleep', '1000'], { log: 'first' });
      if ((await sleeper.kill()).signal !== 'SIGKILL') process.exit(2);
      await h1.spawn(['sleep', '1000'], { log: 'second' });`;
    const maker = inAnotherProcess(script, { name: 'x', hosts: 1, dir });
    const [code] = (await once(maker, 'exit')) as [number | null];
    expect(code).toBe(0);
    await using lab = Lab.open('x', { dir });
    expect(lab.host('h1').programs()).toMatchObject([{ argv: ['sleep', '1000'] }]);
  });
});

describe('down after a crash', () => {
  /** Makes a lab in another process and kills that as soon as `when` says so. */
  async function makeAndCrash(name: string, when: () => boolean): Promise<void> {
    const script = `await Lab.create(JSON.parse(process.argv[1]))`;
    const maker = inAnotherProcess(script, { name, hosts: 3, dir });
    const ended = once(maker, 'exit');
    while (!when() && maker.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 1));
    maker.kill('SIGKILL');
    await ended;
  }

  it('ends what was half made', async () => {
    let seen = 0;
    for (let machines = 1; machines <= 5; machines++) {
      await makeAndCrash('half', () => existsSync(path.join(dir, 'half')) && holdersIn(dir).length >= machines);
      const before = trace();
      seen += before.namespaces.length;
      await Lab.down('half', { dir });
      expectNothingOf('half', before);
    }
    expect(seen).toBeGreaterThan(5);
  });

  it('needs no record, and believes none of a process that is another now', async () => {
    const lab = await Lab.create({ name: 'x', hosts: 1, dir });
    const bystander = spawn('sleep', ['1000']);
    const identity = identify(bystander.pid ?? 0);
    try {
      const processes = { 'h1/holder': { pid: bystander.pid, startTime: '1' } };
      const file = path.join(lab.directory, 'lab.json');
      for (const text of ['', '{', 'null', JSON.stringify({ version: 2, processes })]) {
        writeFileSync(file, text);
        expect(Lab.list({ dir })).toMatchObject([{ name: 'x', state: 'broken' }]);
        expect(() => Lab.open('x', { dir })).toThrow('weft lab down');
      }
      const before = trace();
      await lab.down();
      expect(identity && isAlive(identity)).toBe(true);
      expectNothingOf('x', before);
    } finally {
      bystander.kill('SIGKILL');
    }
  });

  it('removes a directory that is all there is', async () => {
    mkdirSync(path.join(dir, 'x'));
    expect(await Lab.down('x', { dir })).toBe(true);
    expect(existsSync(path.join(dir, 'x'))).toBe(false);
  });

  it('ends a lab whose making is aborted', async () => {
    const stop = new AbortController();
    const making = expect(Lab.create({ name: 'x', hosts: 3, dir, signal: stop.signal })).rejects.toThrow('enough');
    await expect.poll(() => trace().namespaces.length, { interval: 2 }).toBeGreaterThan(3);
    const before = trace();
    stop.abort(new Error('enough'));
    await making;
    expectNothingOf('x', before);
  });
});

/** Runs statements that use `Lab`, as it was built: another process cannot be told to run it from source. */
function inAnotherProcess(statements: string, argument: unknown) {
  const library = path.join(checkoutDirectory(), 'dist/e2e/lab/lab.js');
  const script = `import { Lab } from ${JSON.stringify(library)}; ${statements}`;
  const argv = ['--input-type=module', '-e', script, JSON.stringify(argument)];
  return spawn(process.execPath, argv, { stdio: 'inherit' });
}

/** Processes that carry the mark of a lab in this directory. */
function holdersIn(directory: string): number[] {
  return listPids().filter((pid) => {
    try {
      return readFileSync(`/proc/${String(pid)}/environ`, 'utf8').includes(`WEFT_LAB_HOLDER=${directory}/`);
    } catch {
      return false;
    }
  });
}
