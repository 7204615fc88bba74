/** Whether this host's agent does what it is there for. Pure. */
import type { Settled } from './state/settled.js';

/** Reasons that are named. */
const NAMED = 10;

/** Why not, a sentence each; none: the kernel is as the last state that a controller told says. */
export function unreadyBecause({ known, problems }: Pick<Settled, 'known' | 'problems'>): readonly string[] {
  if (known === undefined) return ['no controller has told this host its state yet'];
  return problems.slice(0, NAMED).map(({ object, message }) => `${object}: ${message}`);
}
