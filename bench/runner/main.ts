/** Runs benchmarks one after another and prints what they measured: what bench/main.ts contains, and may kill any time. */
import { availableParallelism, loadavg } from 'node:os';
import { inspect } from 'node:util';
import type { BenchResult } from '../bench.js';
import { BENCHES } from '../catalogue.js';
import { parseCommandLine } from '../command-line.js';
import { renderResults } from '../render.js';

/**
 * Takes the same command line as bench/main.ts, which has looked at it. Returns the exit status: 1 when one of them
 * failed, which keeps none of the others from being run and printed.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const command = parseCommandLine(argv, BENCHES);
  if (command.kind !== 'run') throw new TypeError(command.text);
  const say = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const load = loadavg()
    .map((average) => average.toFixed(2))
    .join(' ');
  say(`node ${process.version}, ${String(availableParallelism())} processors, load average ${load}`);
  const results: BenchResult[] = [];
  let failed = false;
  for (const bench of BENCHES) {
    if (!command.names.includes(bench.name)) continue;
    say(`${bench.name}: ${bench.about}`);
    const began = performance.now();
    try {
      results.push(
        await bench.run((text) => {
          say(`  ${((performance.now() - began) / 1000).toFixed(1).padStart(5)} s  ${text}`);
        }),
      );
    } catch (error) {
      failed = true;
      say(`bench: ${bench.name} failed: ${inspect(error)}`);
    }
  }
  process.stdout.write(command.json ? `${JSON.stringify({ results })}\n` : `${renderResults(results)}\n`);
  return failed ? 1 : 0;
}
