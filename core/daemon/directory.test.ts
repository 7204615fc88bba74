import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory } from './directory.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(path.join(tmpdir(), 'weft-directory-'))));
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('making a directory', () => {
  it('makes those above it, and is content with what is there', () => {
    const wanted = path.join(dir, 'a', 'b', 'c');
    makeDirectory(wanted, 0o700);
    makeDirectory(wanted, 0o755);
    expect(statSync(wanted).isDirectory()).toBe(true);
    expect(statSync(wanted).mode & 0o777).toBe(0o700);
  });

  it('says in a sentence why it cannot', () => {
    const file = path.join(dir, 'file');
    writeFileSync(file, '');
    for (const [directory, why] of [
      [file, 'EEXIST'],
      [path.join(file, 'x'), 'ENOTDIR'],
      // Where node's own mkdir would try for ever.
      ['/proc/nonexistent', 'ENOENT'],
      ['/proc/nonexistent/x', 'ENOENT'],
    ] as const) {
      expect(() => {
        makeDirectory(directory, 0o700);
      }).toThrow(`${directory} cannot be used: ${why}`);
    }
  });
});
