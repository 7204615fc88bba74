import { describe, expect, it } from 'vitest';
import { parseCommandLine } from './command-line.js';

const BENCHES = [
  { name: 'first', about: 'one thing beside another' },
  { name: 'second', about: 'more of that' },
];

describe('the command line of bench', () => {
  it.each([
    [[], ['first', 'second'], false],
    [['--json'], ['first', 'second'], true],
    [['second', 'first', 'second'], ['first', 'second'], false],
    [['second', '--json'], ['second'], true],
    [['--json', '--', 'second'], ['second'], true],
  ] as const)('%j runs %j', (argv, names, json) => {
    expect(parseCommandLine(argv, BENCHES)).toEqual({ kind: 'run', names, json });
  });

  it.each([
    [['third', 'first', 'fourth'], 'bench: there is no benchmark third, fourth; there are first, second\n'],
    [['--jsn'], "bench: unknown option '--jsn'\n"],
    [['-x', 'first'], "bench: unknown option '-x'\n"],
    [['--json=yes'], "bench: option '--json' does not take an argument\n"],
  ])('%j is a mistake', (argv, text) => {
    expect(parseCommandLine(argv, BENCHES)).toEqual({
      kind: 'mistake',
      text: `${text}(see \`npm run bench -- --help\`)\n`,
    });
  });

  it.each([['--help'], ['-h'], ['first', '--help']])('%s prints help', (...argv) => {
    const command = parseCommandLine(argv, BENCHES);
    expect(command.kind).toBe('help');
    expect(command).toHaveProperty('text', expect.stringContaining('  second  more of that\n'));
  });
});
