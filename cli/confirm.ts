/** Questions before what cannot be undone. */
import { invalid, WeftError } from '../core/errors.js';
import type { Invocation } from './invocation.js';

/**
 * Throws WeftError ARGUMENT_INVALID where there will be nobody to ask: a script that hangs and a cluster that is gone
 * are both worse. For before anything is looked at, so that a script fails always or never.
 */
export function requireTerminal({ surroundings }: Invocation, force: boolean): void {
  if (force || surroundings.stdin.isTty) return;
  throw new WeftError(invalid('-f', 'there is no terminal to ask on whether you are sure; say -f if you are'));
}

/** Whether the person wants it: asked on the terminal, anything but yes is no. `force`: without asking. Throws as requireTerminal. */
export async function confirm(
  invocation: Invocation,
  { question, force }: { readonly question: string; readonly force: boolean },
): Promise<boolean> {
  requireTerminal(invocation, force);
  if (force) return true;
  const { stdin, stderr, signal } = invocation.surroundings;
  stderr.write(`${question} [y/N] `);
  const line = await invocation.untimed(() => stdin.readLine(signal));
  if (line === undefined) stderr.write('\n');
  return /^\s*y(?:es)?\s*$/i.test(line ?? '');
}
