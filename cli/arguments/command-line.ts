/** What stands behind `--`, for the commands that run another program. */
import { invalid, WeftError } from '../../core/errors.js';
import type { Invocation } from '../invocation.js';

/** The program's argv, without a leading `--`. Throws WeftError when there is none, or when one of our options stands where it begins. */
export function parseCommandLine(words: readonly string[]): readonly [string, ...string[]] {
  const [program, ...args] = words[0] === '--' ? words.slice(1) : words;
  if (program === undefined || program === '')
    throw new WeftError(invalid('CMD', 'expected a program to run, behind --'));
  if (words[0] !== '--' && program.startsWith('-')) {
    throw new WeftError(
      invalid('CMD', `${program} stands where the program is expected; options come first, then --, then CMD`),
    );
  }
  return [program, ...args];
}

/** Refuses --json where stdout is another program's. Throws WeftError. */
export function refuseJson({ globals }: Invocation): void {
  if (globals.json)
    throw new WeftError(invalid('--json', 'stdout belongs to the program that runs; there is no document'));
}
