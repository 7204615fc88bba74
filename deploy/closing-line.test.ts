import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const CHECKOUT = fileURLToPath(new URL('..', import.meta.url));

const GREEN = "import { it } from 'vitest'; it('passes', () => {}); it('passes too', () => {});";

/** Runs the checkout's own vitest configuration on a project that consists of these test files. */
describe('the last line of a test run', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'weft-closing-line-'));
    symlinkSync(join(CHECKOUT, 'node_modules'), join(root, 'node_modules'));
    mkdirSync(join(root, 'core'));
    mkdirSync(join(root, 'e2e'));
  });

  afterEach(() => {
    rmSync(root, { recursive: true, force: true });
  });

  const run = (files: Readonly<Record<string, string>>) => {
    for (const [file, text] of Object.entries(files)) writeFileSync(join(root, file), text);
    const { status, stdout } = spawnSync(
      process.execPath,
      [
        join(CHECKOUT, 'node_modules/vitest/vitest.mjs'),
        'run',
        '--root',
        root,
        '--config',
        `${CHECKOUT}vitest.config.ts`,
      ],
      { cwd: root, encoding: 'utf8', timeout: 60_000, env: { ...process.env, NO_COLOR: '1', CI: 'true' } },
    );
    return { status, last: stdout.trimEnd().split('\n').at(-1) };
  };

  it('counts what passed, over all projects', () => {
    expect(run({ 'core/a.test.ts': GREEN, 'e2e/b.test.ts': GREEN })).toEqual({ status: 0, last: '4 passed, 0 failed' });
  });

  it('counts failed tests, files that do not load and errors nobody caught as failed', () => {
    expect(
      run({
        'core/green.test.ts': GREEN,
        'core/red.test.ts':
          "import { it } from 'vitest'; it('fails', () => { throw new Error('red'); }); it.skip('is skipped', () => {});",
        'core/broken.test.ts': "import './is-not-there.js';",
        'core/late.test.ts':
          "import { it } from 'vitest'; it('passes', async () => { void Promise.reject(new Error('late')); });",
        'core/hook.test.ts':
          "import { beforeAll, it } from 'vitest'; beforeAll(() => { throw new Error('hook'); }); it('is not run', () => {});",
      }),
    ).toEqual({ status: 1, last: '3 passed, 4 failed, 2 skipped' });
  });
});
