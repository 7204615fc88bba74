/** The command line of `npm run bench`. Pure. */
import { parseArgs } from 'node:util';
import type { Bench } from './bench.js';

/** What a command line asks for: benchmarks to run, or only something to say and the exit status. */
export type BenchCommand =
  | { readonly kind: 'run'; readonly names: readonly string[]; readonly json: boolean }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'mistake'; readonly text: string };

type Listed = Pick<Bench, 'name' | 'about'>;

/** Names come in the order of `benches`, each once; without any, all of them. */
export function parseCommandLine(argv: readonly string[], benches: readonly Listed[]): BenchCommand {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Node explains how an option's name could be a positional argument; here none can.
    return mistake(error.message.replace(/\. To specify a positional argument.*$/s, ''));
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { kind: 'help', text: renderHelp(benches) };
  const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name));
  if (unknown.length > 0) {
    const known = benches.map(({ name }) => name).join(', ');
    return mistake(`there is no benchmark ${unknown.join(', ')}; there are ${known}`);
  }
  const names = benches
    .map(({ name }) => name)
    .filter((name) => positionals.length === 0 || positionals.includes(name));
  return { kind: 'run', names, json: values.json === true };
}

function mistake(what: string): BenchCommand {
  const text = `bench: ${what.charAt(0).toLowerCase()}${what.slice(1)}\n(see \`npm run bench -- --help\`)\n`;
  return { kind: 'mistake', text };
}

function renderHelp(benches: readonly Listed[]): string {
  const width = Math.max(...benches.map(({ name }) => name.length));
  return `Usage: npm run bench -- [NAME...] [--json]

Measures Weft, each time beside a peer in the same run. Without a name: everything.

Benchmarks:
${benches.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`).join('\n')}

Options:
  --json      one document on stdout: {"results":[{"name","metrics":{},"ratios":{}}]}
  -h, --help  print help
`;
}
