import { describe, expect, it } from 'vitest';
import { shortId } from './short-id.js';
import { listCell, renderPairs, renderTable } from './table.js';

describe('renderTable', () => {
  it('aligns columns, three spaces apart, with nothing at the ends of lines', () => {
    const rows = [
      ['3f2a91c0b7de', 'web', 'overlay'],
      ['90aa12bb34cc', 'a-longer-name', '-'],
    ];
    expect(renderTable(['NETWORK ID', 'NAME', 'DRIVER'], rows)).toBe(
      [
        'NETWORK ID     NAME            DRIVER',
        '3f2a91c0b7de   web             overlay',
        '90aa12bb34cc   a-longer-name   -',
      ].join('\n'),
    );
  });

  it('prints the heads also over nothing', () => {
    expect(renderTable(['NAME', 'STATE'], [])).toBe('NAME   STATE');
  });

  it('aligns what is coloured as if it were not', () => {
    const rows = [
      ['\u001b[32mready\u001b[39m', 'x'],
      ['removing', 'y'],
    ];
    const lines = renderTable(['STATE', 'X'], rows).split('\n');
    expect(lines.map((line) => line.replaceAll(/\u001b\[\d+m/g, '').indexOf(line.at(-1) ?? ''))).toEqual([11, 11, 11]);
  });
});

describe('cells', () => {
  it('are never empty, and ids are short', () => {
    expect(listCell([])).toBe('-');
    expect(listCell(['10.1.0.2', 'fd00::2'])).toBe('10.1.0.2, fd00::2');
    expect(shortId('3f2a91c0-b7de-4c6f-9a53-0d6f1c1b2a3c')).toBe('3f2a91c0b7de');
  });

  it('of pairs stand in one column', () => {
    expect(
      renderPairs([
        ['epoch', '1'],
        ['revision', '45'],
      ]),
    ).toBe('epoch      1\nrevision   45');
  });
});
