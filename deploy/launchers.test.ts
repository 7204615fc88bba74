import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

const PROGRAMS = [
  { launcher: 'weft', program: 'cli' },
  { launcher: 'weft-controller', program: 'controller' },
  { launcher: 'weft-agent', program: 'agent' },
] as const;

describe.each(PROGRAMS)('bin/$launcher', ({ launcher, program }) => {
  let root: string;
  let link: string;

  // The launchers of this checkout, installed somewhere else, and a link to them as in /usr/local/bin.
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'weft-launchers-'));
    cpSync(join(CHECKOUT, 'bin'), join(root, 'opt/bin'), { recursive: true });
    cpSync(join(CHECKOUT, 'package.json'), join(root, 'opt/package.json'));
    mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
    link = join(root, 'usr/local/bin', launcher);
    symlinkSync(join(root, 'opt/bin', launcher), link);
  });

  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  const start = (argv: readonly string[]) => spawnSync(link, argv, { cwd: '/', encoding: 'utf8', timeout: 10_000 });

  it('runs its program through a link, hands the arguments over and takes its exit status', () => {
    mkdirSync(join(root, 'opt/dist', program), { recursive: true });
    writeFileSync(
      join(root, 'opt/dist', program, 'main.js'),
      'export async function main(argv) { console.log(JSON.stringify(argv)); return 3; }\n',
    );
    const { status, stdout } = start(['network', 'ls', '--filter', 'a b']);
    expect({ status, argv: JSON.parse(stdout) as unknown }).toEqual({
      status: 3,
      argv: ['network', 'ls', '--filter', 'a b'],
    });
  });

  it('says what to do before the first build', () => {
    expect(start([])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: `${launcher}: not built yet; in ${join(root, 'opt')}/ run: npm run build\n`,
    });
  });
});

it('bin/weft-controller has room for what is short-lived', () => {
  const root = mkdtempSync(join(tmpdir(), 'weft-launchers-'));
  try {
    cpSync(join(CHECKOUT, 'bin'), join(root, 'bin'), { recursive: true });
    cpSync(join(CHECKOUT, 'package.json'), join(root, 'package.json'));
    mkdirSync(join(root, 'dist/controller'), { recursive: true });
    writeFileSync(
      join(root, 'dist/controller/main.js'),
      'export async function main() { console.log(process.execArgv.join()); return 0; }\n',
    );
    const { stdout } = spawnSync(join(root, 'bin/weft-controller'), { encoding: 'utf8', timeout: 10_000 });
    expect(stdout).toBe('--max-semi-space-size=64\n');
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
