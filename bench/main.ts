/** `npm run bench -- [NAME...] [--json]`: runs benchmarks one after another, each beside its peer. */
import { availableParallelism } from 'node:os';
import { renderTable } from '../cli/output/table.js';
import { attach } from './attach.js';
import type { Bench, BenchResult } from './bench.js';
import { ipam } from './ipam.js';
import { netlink } from './netlink.js';
import { throughput } from './throughput.js';

const BENCHES: readonly Bench[] = [netlink, throughput, attach, ipam];

/** Returns the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes('--json');
  const names = argv.filter((word) => word !== '--json');
  const unknown = names.filter((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    const known = BENCHES.map(({ name, about }) => `  ${name.padEnd(12)}${about}`).join('\n');
    process.stderr.write(`bench: there is no ${unknown.join(', ')}; there are:\n${known}\n`);
    return 2;
  }
  const say = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  say(`node ${process.version}, ${String(availableParallelism())} processors`);
  const results: BenchResult[] = [];
  for (const bench of BENCHES) {
    if (names.length > 0 && !names.includes(bench.name)) continue;
    say(`${bench.name}: ${bench.about}`);
    results.push(
      await bench.run((text) => {
        say(`  ${text}`);
      }),
    );
  }
  process.stdout.write(json ? `${JSON.stringify({ results })}\n` : `${render(results)}\n`);
  return 0;
}

/** Pure. One row a figure. */
function render(results: readonly BenchResult[]): string {
  const rows = results.flatMap(({ name, metrics, ratios }) => [
    ...Object.entries(metrics).map(([figure, value]) => [name, figure, renderNumber(value)]),
    ...Object.entries(ratios).map(([figure, value]) => [name, figure, `${value.toFixed(2)}x`]),
  ]);
  return renderTable(['BENCH', 'FIGURE', 'VALUE'], rows);
}

function renderNumber(value: number): string {
  if (Number.isInteger(value) && value < 1000) return String(value);
  return value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(4);
}
