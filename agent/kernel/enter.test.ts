import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import type { EnterOptions } from './enter.js';
import { runIn, TestNamespaces } from './testing.js';

const ROOT = join(import.meta.dirname, '../..');

/** The caller of `enter`, in a process of its own, since that process is replaced. */
const MAIN = `
import { enter } from './agent/kernel/enter.js';
try {
  enter(JSON.parse(process.argv[2]));
} catch (error) {
  process.stderr.write(error.name + ': ' + error.message);
  process.exit(error.exitCode ?? 99);
}`;

let compiled: string;
let namespaces: TestNamespaces;
let netns: string;

beforeAll(() => {
  compiled = mkdtempSync(join(tmpdir(), 'weft-enter-'));
  const sources = [
    ...readdirSync(join(ROOT, 'agent/kernel'))
      .filter((file) => /^[a-z-]+\.ts$/.test(file))
      .map((file) => `agent/kernel/${file}`),
    'core/fault.ts',
  ];
  for (const directory of ['agent/kernel', 'core']) mkdirSync(join(compiled, directory), { recursive: true });
  for (const source of sources) {
    const { outputText } = ts.transpileModule(readFileSync(join(ROOT, source), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
    });
    writeFileSync(join(compiled, source.replace(/ts$/, 'js')), outputText);
  }
  writeFileSync(join(compiled, 'package.json'), '{"type":"module"}');
  writeFileSync(join(compiled, 'main.js'), MAIN);
  symlinkSync(join(ROOT, 'node_modules'), join(compiled, 'node_modules'));
});
afterAll(() => {
  rmSync(compiled, { recursive: true, force: true });
});
beforeEach(() => {
  namespaces = new TestNamespaces();
  netns = namespaces.make('sandbox');
});
afterEach(() => {
  namespaces[Symbol.dispose]();
});

function run(options: Partial<EnterOptions> & Pick<EnterOptions, 'argv'>, input = '') {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [join(compiled, 'main.js'), JSON.stringify({ netns, binds: [], ...options })],
    { encoding: 'utf8', input, timeout: 10_000 },
  );
  return { status, signal, stdout, stderr };
}

describe('enter', () => {
  it('is in the sandbox’s network, with arguments as they were given', () => {
    const inside = runIn(netns, ['readlink', '/proc/self/ns/net']);
    expect(run({ argv: ['readlink', '/proc/self/ns/net'] }).stdout).toBe(inside);
    expect(run({ argv: ['printf', '%s|', 'a b', '$HOME', ';', 'ä'] }).stdout).toBe('a b|$HOME|;|ä|');
  });

  it('shows files in the place of the host’s, and to nobody else', () => {
    const source = join(namespaces.directory, 'resolv.conf');
    const target = join(namespaces.directory, 'target');
    writeFileSync(source, 'nameserver 10.9.0.1\n');
    writeFileSync(target, 'the host’s');
    expect(run({ argv: ['cat', target], binds: [{ source, target }] }).stdout).toBe('nameserver 10.9.0.1\n');
    expect(readFileSync(target, 'utf8')).toBe('the host’s');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${namespaces.directory}/target`);
    rmSync(source);
    rmSync(target);
  });

  it('gives the program input, environment, exit status and signals as if it had been started plainly', () => {
    expect(run({ argv: ['cat'] }, 'from stdin').stdout).toBe('from stdin');
    expect(run({ argv: ['env'], env: { PATH: '/usr/bin:/bin', A: 'b c' } }).stdout).toBe('PATH=/usr/bin:/bin\nA=b c\n');
    expect(run({ argv: ['sh', '-c', 'exit 42'] }).status).toBe(42);
    expect(run({ argv: ['sh', '-c', 'kill -TERM $$'] }).signal).toBe('SIGTERM');
    const status = run({ argv: ['cat', '/proc/self/status'] }).stdout;
    expect(status).toMatch(/^SigIgn:\t0000000000000000$/m);
    expect(status).toMatch(/^SigBlk:\t0000000000000000$/m);
    const flags = run({ argv: ['cat', '/proc/self/fdinfo/0'] }).stdout;
    expect(Number.parseInt(/^flags:\s*(\d+)$/m.exec(flags)?.[1] ?? '', 8) & 0o4000).toBe(0);
  });

  it('says that a command is not there, or is none, with the exit codes of env(1)', () => {
    expect(run({ argv: ['no-such-command'] })).toMatchObject({
      status: 127,
      stderr: 'EnterError: no-such-command: no such file or directory (ENOENT)',
    });
    expect(run({ argv: ['/etc/passwd'] })).toMatchObject({
      status: 126,
      stderr: 'EnterError: /etc/passwd: permission denied (EACCES)',
    });
  });

  it('refuses what cannot be entered before anything has changed', () => {
    expect(run({ argv: ['true'], netns: '/run/weft-no-such' })).toMatchObject({
      status: 99,
      stderr: 'KernelError: open /run/weft-no-such: no such file or directory (ENOENT)',
    });
    const binds = [{ source: '/run/weft-no-such', target: '/etc/resolv.conf' }];
    expect(run({ argv: ['true'], binds })).toMatchObject({
      status: 99,
      stderr: 'KernelError: bind /run/weft-no-such: no such file or directory (ENOENT)',
    });
    expect(run({ argv: ['true'], netns: '/etc/passwd' })).toMatchObject({
      status: 1,
      stderr: 'EnterError: enter /etc/passwd: invalid argument (EINVAL)',
    });
  });
});
