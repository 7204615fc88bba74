/** What the command lines of the daemons have in common: help that lists the flags, and mistakes told in one line. */
import { Command, CommanderError, Help, Option, type OutputConfiguration } from 'commander';
import { VERSION } from '../version.js';

/** The exit status of a line that cannot be read: the same as that of `weft`. */
export const BAD_USAGE = 2;

/** A program whose command may be left out: `daemon run` and `daemon` are the same. */
export interface DaemonProgram {
  readonly program: Command;
  /** What the program does where no command is named; its flags are the program's own in help. */
  readonly run: Command;
}

/** An empty program and its `run`. What it prints goes to stdout and stderr, or to `output`. */
export function daemonProgram(
  { name, description, run }: { readonly name: string; readonly description: string; readonly run: string },
  output: OutputConfiguration = {},
): DaemonProgram {
  const program = new Command(name)
    .description(description)
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .usage('[run] [options]')
    .enablePositionalOptions()
    // The mistake is told by parseDaemonLine, in the one form that all programs have.
    .configureOutput({ ...output, outputError: () => undefined })
    .exitOverride();
  const command = program
    .command('run', { isDefault: true })
    .description(run)
    .addHelpOption(new Option('-h, --help', 'print help'));
  const standard = new Help();
  program.configureHelp({
    visibleOptions: (shown) => {
      const own = standard.visibleOptions(shown);
      if (shown !== program) return own;
      return [...standard.visibleOptions(command).filter(({ long }) => long !== '--help'), ...own];
    },
  });
  return { program, run: command };
}

/** Adds lines to type, and what each does, to a command's help. */
export function addExamples(command: Command, examples: readonly (readonly [line: string, does: string])[]): void {
  const lines = examples.flatMap(([line, does]) => [`  $ ${line}`, `      ${does}`]);
  command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/**
 * Reads `argv` (without node and script); the commands' actions keep what they are told. Answers the exit status of a
 * line that asks for nothing more: 0 for help and version, 2 for a mistake, which is told in one line that names the
 * program. Undefined: an action was called.
 */
export function parseDaemonLine(
  { program, run }: DaemonProgram,
  argv: readonly string[],
  output: OutputConfiguration = {},
): number | undefined {
  try {
    program.parse([...argv], { from: 'user' });
    return undefined;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    const named = program.commands.find((command) => command.name() === argv[0]);
    const name = program.name();
    const helpOf = named === undefined || named === run ? name : `${name} ${named.name()}`;
    const line = `${name}: ${mistake(error, named === undefined ? argv[0] : undefined)}; see ${helpOf} --help\n`;
    if (output.writeErr === undefined) process.stderr.write(line);
    else output.writeErr(line);
    return BAD_USAGE;
  }
}

/** Commander's words as a part of a line. `first`: the line's first word, where it is no command. */
function mistake(error: CommanderError, first: string | undefined): string {
  // Taken for an argument of the command that may be left out, it is seldom meant as one.
  if (error.code === 'commander.excessArguments' && first?.startsWith('-') === false)
    return `unknown command '${first}'`;
  return error.message
    .replace(/^error: /, '')
    .replace(/\n?\(Did you mean/, ' (did you mean')
    .replace(/' is invalid\. /, "' is invalid: ")
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
}
