/** Results as people read them. Pure. */
import { renderTable } from '../cli/output/table.js';
import type { BenchResult } from './bench.js';

/** One row a figure, ratios last; the values stand with their ends in one line. */
export function renderResults(results: readonly BenchResult[]): string {
  const rows = results.flatMap(({ name, metrics, ratios }) => [
    ...Object.entries(metrics).map(([figure, value]) => [name, figure, renderNumber(value)] as const),
    ...Object.entries(ratios).map(([figure, value]) => [name, figure, `${value.toFixed(2)}x`] as const),
  ]);
  const width = Math.max('VALUE'.length, ...rows.map(([, , value]) => value.length));
  const aligned = rows.map(([name, figure, value]) => [name, figure, value.padStart(width)]);
  return renderTable(['BENCH', 'FIGURE', 'VALUE'.padStart(width)], aligned);
}

/** Four digits that count, and never an exponent. */
function renderNumber(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return value.toLocaleString('en', { maximumSignificantDigits: 4 });
}
