import { beforeEach, describe, expect, it } from 'vitest';
import { LogLines, withProgress } from './progress.js';

describe('withProgress', () => {
  const lines: string[] = [];
  const terminal = { write: (text: string) => void lines.push(text), isTty: true };

  beforeEach(() => {
    lines.length = 0;
  });

  it('says nothing of what is quick', async () => {
    await expect(
      withProgress(
        terminal,
        async () => 'waiting',
        async () => 7,
      ),
    ).resolves.toBe(7);
    expect(lines).toEqual([]);
  });

  it('rewrites its line each second, and wipes it at the end', async () => {
    let round = 0;
    const slow = new Promise<string>((resolve) => setTimeout(resolve, 2300, 'done'));
    await expect(
      withProgress(
        terminal,
        async () => `round ${String(++round)}`,
        () => slow,
      ),
    ).resolves.toBe('done');
    expect(lines).toEqual(['\r\u001b[Kround 1', '\r\u001b[Kround 2', '\r\u001b[K']);
  });

  it('is silent where nobody watches, and ends with the error of the work', async () => {
    const slow = new Promise<never>((_, reject) => setTimeout(reject, 1200, new Error('late')));
    const nobody = { ...terminal, isTty: false };
    await expect(
      withProgress(
        nobody,
        async () => 'waiting',
        () => slow,
      ),
    ).rejects.toThrow('late');
    expect(lines).toEqual([]);
  });

  it('writes lines where nobody watches and that is asked for', async () => {
    const slow = new Promise<void>((resolve) => setTimeout(resolve, 2300));
    const nobody = { ...terminal, isTty: false };
    await withProgress(
      nobody,
      async () => 'waiting for h2',
      () => slow,
      'lines',
    );
    expect(lines).toEqual(['weft: waiting for h2 (1 s)\n']);
  });
});

describe('LogLines', () => {
  it('tell news at once, and the same again after ten seconds', () => {
    const lines: string[] = [];
    let ms = 500;
    const teller = new LogLines({ write: (text) => void lines.push(text), isTty: false }, { monotonicMs: () => ms });
    for (let second = 1; second <= 22; second += 1) {
      ms = 500 + second * 1001;
      teller.show(second === 1 ? 'h1, h2' : 'h2');
    }
    teller.end();
    expect(lines).toEqual([1, 2, 12, 22].map((s) => `weft: ${s === 1 ? 'h1, h2' : 'h2'} (${String(s)} s)\n`));
  });
});
