/** Commands that work on several things: all are tried, every error is printed, and the worst is the exit status. */
import type { Invocation } from './invocation.js';
import { exitCodeOf, renderError } from './output/errors.js';
import { Interruption, meaningOf } from './surroundings.js';

/** Runs `body` on each in turn. Answers what each brought, and the exit status. */
export async function eachOf<Item, T>(
  invocation: Invocation,
  items: readonly Item[],
  body: (item: Item) => Promise<T>,
): Promise<{ readonly done: readonly T[]; readonly exitCode: number }> {
  const { surroundings, requestId, globals } = invocation;
  const done: T[] = [];
  let exitCode = 0;
  for (const item of items) {
    try {
      done.push(await body(item));
    } catch (thrown) {
      const error = meaningOf(thrown, surroundings.signal);
      if (error instanceof Interruption) throw error;
      surroundings.stderr.write(
        renderError(error, { requestId, verbose: globals.verbose, helpCommand: 'weft --help' }),
      );
      exitCode = Math.max(exitCode, exitCodeOf(error));
    }
  }
  return { done, exitCode };
}

/** Prints what `inspect` found: one object, several as `{ [plural]: [...] }`; with --json as it is, else in words. */
export async function inspectEach(
  invocation: Invocation,
  plural: string,
  names: readonly string[],
  read: (name: string) => Promise<unknown>,
): Promise<number> {
  const { done, exitCode } = await eachOf(invocation, names, read);
  const pretty = !invocation.globals.json;
  const shown = pretty ? done.map((await import('./output/words.js')).inWords) : done;
  if (names.length > 1) invocation.printJson({ [plural]: shown }, { pretty });
  else if (shown.length === 1) invocation.printJson(shown[0], { pretty });
  return exitCode;
}
