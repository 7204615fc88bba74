import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { EXIT, REASONS, WeftError, invalid } from './errors.js';

describe('docs/errors.md', () => {
  it('has every reason of the table, with its code and exit status, and no other', async () => {
    const text = await readFile(new URL('../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| ([A-Z_]+) +\| ([A-Z_]+) +\| (\d) +\|/gm)].map((row) => row.slice(1, 4));
    const table = Object.entries(REASONS).map(([reason, status]) => [reason, status, String(EXIT[status])]);
    expect(rows).toEqual(table);
  });
});

describe('WeftError', () => {
  it('writes out what a terminal would obey, also where it is quoted as JSON', () => {
    const name = 'a\u009b2J\u007f\u001b[2J';
    const error = new WeftError(invalid(`labels[${JSON.stringify(name)}]`, `${JSON.stringify(name)} is no name`));
    for (const text of [error.message, ...error.violations.flatMap(({ field, description }) => [field, description])]) {
      expect(text).toContain('"a\\u009b2J\\u007f\\u001b[2J"');
    }
  });
});
