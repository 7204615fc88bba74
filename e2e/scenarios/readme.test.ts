import { mkdtemp, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkoutDirectory } from '../lab/layout.js';
import { run, type Environment } from '../lab/process.js';

/** What the README's `sh` blocks under "Use it" have the reader type, up to where machines of the reader's own come in. */
async function commandsOfReadme(): Promise<string[]> {
  const text = await readFile(path.join(checkoutDirectory(), 'README.md'), 'utf8');
  const [, section = ''] = /## Use it\n([\s\S]*?)\n### /.exec(text) ?? [];
  const blocks = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = '']) => block.trim());
  if (blocks.length === 0) throw new Error('the README has no block of commands under "Use it"');
  return blocks.flatMap((block) => block.split('\n'));
}

describe('the README', () => {
  let environment: Environment;
  let directory: string;

  beforeAll(async () => {
    // Labs of a directory of its own: the one called "lab" may be somebody's.
    directory = await mkdtemp('/var/lib/weft-readme-');
    const bin = path.join(checkoutDirectory(), 'bin');
    environment = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, WEFT_LAB_DIR: directory };
  });

  afterAll(async () => {
    await run(['weft', 'lab', 'down'], { env: environment });
    await rm(directory, { recursive: true, force: true });
    await rm('/tmp/weft-readme.backup', { force: true });
  });

  it('says what works, line by line', async () => {
    const [first, ...commands] = await commandsOfReadme();
    expect(first).toBe('export PATH="$PWD/bin:$PATH"');
    expect(commands.length).toBeGreaterThan(16);
    for (const command of commands) {
      const [line = '', comment = ''] = command.split('#').map((part) => part.trim());
      const { code, stderr } = await run(line.split(/ +/), { env: environment, timeoutMs: 120_000 });
      if (comment.startsWith('refused')) {
        expect(code, command).toBe(4);
        expect(stderr, command).toMatch(/in use by one@h1, two@h2/);
      } else {
        expect(code, `${command}: ${stderr}`).toBe(0);
      }
    }
  });
});
