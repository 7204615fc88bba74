/** Questions before what cannot be undone. */
import { invalid, WeftError } from '../core/errors.js';
import type { Invocation } from './invocation.js';

/**
 * Whether the person wants it: asked on the terminal, anything but yes is no. `force`: without asking. Throws WeftError
 * ARGUMENT_INVALID where there is nobody to ask, because a script that hangs or a cluster that is gone are both worse.
 */
export async function confirm(
  invocation: Invocation,
  { question, force }: { readonly question: string; readonly force: boolean },
): Promise<boolean> {
  if (force) return true;
  const { stdin, stderr, signal } = invocation.surroundings;
  if (!stdin.isTty) {
    throw new WeftError(invalid('-f', 'there is no terminal to ask on whether you are sure; say -f if you are'));
  }
  stderr.write(`${question} [y/N] `);
  const line = await invocation.untimed(() => stdin.readLine(signal));
  if (line === undefined) stderr.write('\n');
  return /^\s*y(?:es)?\s*$/i.test(line ?? '');
}
