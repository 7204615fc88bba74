import { Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { addExamples, daemonProgram, parseDaemonLine } from './command-line.js';

/** A daemon of two commands, read once: what it answers, says and complains. */
function read(...argv: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const output = { writeOut: (text: string) => (stdout += text), writeErr: (text: string) => (stderr += text) };
  const daemon = daemonProgram({ name: 'weft-d', description: 'Does things.', run: 'do them (as without it)' }, output);
  let ran: string | undefined;
  daemon.run
    .addOption(new Option('--to <host>', 'where to').env('WEFT_TEST_TO'))
    .option('--often <n>', 'how often a day', '3')
    .action(() => {
      ran = 'run';
    });
  addExamples(daemon.program, [['weft-d --to h1', 'there']]);
  daemon.program
    .command('sign')
    .requiredOption('--out <dir>', 'where to')
    .action(() => {
      ran = 'sign';
    });
  const code = parseDaemonLine(daemon, argv, output);
  return { code, ran, stdout, stderr };
}

describe('the command line of a daemon', () => {
  it('runs what is named, and run where nothing is', () => {
    expect(read('--to', 'h1')).toEqual({ code: undefined, ran: 'run', stdout: '', stderr: '' });
    expect(read('run', '--to', 'h1')).toMatchObject({ code: undefined, ran: 'run' });
    expect(read('sign', '--out', '/x')).toMatchObject({ code: undefined, ran: 'sign' });
  });

  it('has the flags in its help, with defaults, commands and examples', () => {
    const { code, stdout, stderr } = read('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: weft-d \[run\] \[options\]\n/);
    expect(stdout).toMatch(/ --often <n> +how often a day \(default: "3"\)\n/);
    expect(stdout).toMatch(/ --to <host> +where to \(env: WEFT_TEST_TO\)\n/);
    expect(stdout.match(/--help/g)).toHaveLength(1);
    expect(stdout).toMatch(/\nCommands:\n +run .*\n +sign /);
    expect(stdout).toMatch(/\nExamples:\n {2}\$ weft-d --to h1\n {6}there\n$/);
    expect(read('run', '--help').stdout).toMatch(/^Usage: weft-d run \[options\]\n/);
    expect(read('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as unknown });
  });

  it.each([
    [['--tu', 'h1'], "unknown option '--tu' (did you mean --to?); see weft-d --help"],
    [['--to'], "option '--to <host>' argument missing; see weft-d --help"],
    [['rum', '--to', 'h1'], "unknown command 'rum'; see weft-d --help"],
    [['run', '--to', 'h1', 'x'], "too many arguments for 'run'. Expected 0 arguments but got 1; see weft-d --help"],
    [['sign'], "required option '--out <dir>' not specified; see weft-d sign --help"],
  ])('tells the mistake in %j in one line', (argv, line) => {
    expect(read(...argv)).toEqual({ code: 2, ran: undefined, stdout: '', stderr: `weft-d: ${line}\n` });
  });
});
