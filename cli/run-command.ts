/** From an argv to an exit status: the tree, the command, and how it ends. */
import type { Command } from 'commander';
import type { Invocation } from './invocation.js';
import { exitCodeOf, renderError } from './output/errors.js';
import { fillIn, makeProgram } from './program.js';
import { meaningOf, type Surroundings } from './surroundings.js';

/** Runs one command line, `argv` without the program's name. Never rejects. */
export async function runCommand(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const program = makeProgram(surroundings);
  let invocation: Invocation | undefined;
  let exitCode = 0;
  const watcher = {
    started: (made: Invocation) => {
      invocation = made;
    },
    ended: (code: number) => {
      exitCode = code;
    },
  };
  try {
    // What completion scripts call; no command for people, so not in the tree.
    if (argv[0] === 'complete') {
      return await (await import('./complete.js')).complete(argv.slice(argv[1] === '--' ? 2 : 1), surroundings);
    }
    const [noun] = program.parseOptions([...argv]).operands;
    if (noun !== undefined) await fillIn(program, noun, { surroundings, watcher });
    await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    const error = meaningOf(thrown, surroundings.signal);
    surroundings.stderr.write(
      renderError(error, {
        requestId: invocation?.requestId,
        verbose: invocation?.globals.verbose ?? false,
        helpCommand: `${pathOf(program, argv)} --help`,
      }),
    );
    return exitCodeOf(error);
  }
}

/** The command that a line calls, as far as it can be made out: `weft network create`. */
function pathOf(program: Command, argv: readonly string[]): string {
  const names = [program.name()];
  let at = program;
  for (const word of argv) {
    const next = at.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
    if (next === undefined) continue;
    names.push(next.name());
    at = next;
  }
  return names.join(' ');
}
