import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAborted } from '../lifetime.js';
import { createFile, readIfThere, removeFile, replaceFile } from './durable-file.js';

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-durable-'));
  file = join(directory, 'file');
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('files that are whole or not there', () => {
  it('are put there, with their mode and nothing beside them', async () => {
    await replaceFile(file, 'secret', 0o600);
    expect(await readFile(file, 'utf8')).toBe('secret');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['file']);
  });

  it('take the place and the mode of what was there', async () => {
    await writeFile(file, 'a longer text that was there before', { mode: 0o644 });
    await replaceFile(file, 'new', 0o600);
    expect(await readFile(file, 'utf8')).toBe('new');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('are never seen half written', async () => {
    const [small, large] = ['a'.repeat(10), 'b'.repeat(1_000_000)];
    await replaceFile(file, small, 0o600);
    const done = new AbortController();
    const seen = new Set<string>();
    const reader = (async () => {
      while (!isAborted(done.signal)) seen.add(await readFile(file, 'utf8'));
    })();
    for (let round = 0; round < 10; round += 1) await replaceFile(file, round % 2 === 0 ? large : small, 0o600);
    done.abort();
    await reader;
    expect([...seen].every((text) => text === small || text === large)).toBe(true);
  });

  it('are made by one of all who make them at once', async () => {
    const texts = Array.from({ length: 8 }, (_, index) => String(index));
    const made = await Promise.all(texts.map((text) => createFile(file, text, 0o600)));
    expect(made.filter((each) => each)).toHaveLength(1);
    expect(await readFile(file, 'utf8')).toBe(String(made.indexOf(true)));
    expect(await readdir(directory)).toEqual(['file']);
  });

  it('leave what was there alone, and nothing beside it, when they cannot be put there', async () => {
    const taken = join(directory, 'taken');
    await mkdir(join(taken, 'inside'), { recursive: true });
    await expect(replaceFile(taken, 'text', 0o600)).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(directory)).toEqual(['taken']);
    expect(await readdir(taken)).toEqual(['inside']);
    await expect(replaceFile(join(directory, 'nowhere', 'file'), '', 0o600)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('are read, or are not there', async () => {
    expect(await readIfThere(file)).toBeUndefined();
    await writeFile(file, '');
    expect(await readIfThere(file)).toBe('');
    await expect(readIfThere(directory)).rejects.toMatchObject({ code: 'EISDIR' });
  });

  it('are removed, also twice', async () => {
    await writeFile(file, 'text');
    await chmod(file, 0o400);
    await removeFile(file);
    await removeFile(file);
    expect(await readdir(directory)).toEqual([]);
    await expect(removeFile(join(directory, 'nowhere', 'file'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
