import { describe, expect, it } from 'vitest';
import { renderResults } from './render.js';

describe('the table of results', () => {
  it('has values that end in one line', () => {
    const results = [
      { name: 'netlink', metrics: { fdbPerSecond: 251_234.5, rounds: 9 }, ratios: { fdbVsBridgeBatch: 3.1415 } },
      { name: 'ipam', metrics: { smallMs: 0.000123, largeBytes: 12_345_678, exactly: 1000 }, ratios: {} },
    ];
    expect(renderResults(results)).toBe(
      [
        'BENCH     FIGURE                  VALUE',
        'netlink   fdbPerSecond          251,235',
        'netlink   rounds                      9',
        'netlink   fdbVsBridgeBatch        3.14x',
        'ipam      smallMs              0.000123',
        'ipam      largeBytes         12,345,678',
        'ipam      exactly                 1,000',
      ].join('\n'),
    );
  });

  it('has its heads also over nothing', () => {
    expect(renderResults([])).toBe('BENCH   FIGURE   VALUE');
  });
});
