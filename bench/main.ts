/** `npm run bench -- [NAME...] [--json]`: runs benchmarks one after another, each beside its peer, and leaves nothing. */
import { BENCHES } from './catalogue.js';
import { parseCommandLine } from './command-line.js';
import { runContained } from './containment.js';
import { checkoutDirectory } from '../e2e/lab/layout.js';

/** Minutes for one benchmark, also on a machine that is very busy: ipam needs two or three on one that is not. */
const MINUTES = 20;

/** As bin/weft-controller has: some benchmarks run the controller in their own process. */
const CONTROLLER_FLAGS = ['--max-semi-space-size=64'];

/** Returns the exit status: 2 for a mistake in the command line, 128 + n where signal n ended it. */
export async function main(argv: readonly string[]): Promise<number> {
  const command = parseCommandLine(argv, BENCHES);
  if (command.kind === 'help') {
    process.stdout.write(command.text);
    return 0;
  }
  if (command.kind === 'mistake') {
    process.stderr.write(command.text);
    return 2;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write('bench: runs in namespaces of its own, which takes root\n');
    return 1;
  }
  const start = `${checkoutDirectory()}/deploy/start.js`;
  const runner = [process.execPath, ...CONTROLLER_FLAGS, start, 'bench/runner', ...argv];
  return runContained(runner, {
    limitMs: command.names.length * MINUTES * 60_000,
    say: (text) => {
      process.stderr.write(`bench: ${text}\n`);
    },
  });
}
