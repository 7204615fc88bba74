/** Steps of a long command as they begin and end: one line each when done, and on a terminal the one under way. */
import pc from 'picocolors';
import type { Output, Surroundings } from '../surroundings.js';

export type Step =
  | { readonly step: string; readonly state: 'begun' }
  | { readonly step: string; readonly state: 'done'; readonly ms: number };

const ERASE_LINE = '\r\u001b[K';

/** Tells each step on stderr; several may be under way at once. */
export class StepTeller {
  readonly #output: Output;
  readonly #mark: string;
  readonly #underWay = new Set<string>();

  constructor({ stderr, env }: Pick<Surroundings, 'stderr' | 'env'>) {
    this.#output = stderr;
    this.#mark = pc.createColors(stderr.isTty && (env['NO_COLOR'] ?? '') === '').green('done');
  }

  readonly tell = (event: Step): void => {
    if (event.state === 'begun') {
      this.#underWay.add(event.step);
    } else {
      this.#underWay.delete(event.step);
      this.clear();
      this.#output.write(`${this.#mark}   ${event.step} (${(event.ms / 1000).toFixed(1)} s)\n`);
    }
    if (this.#output.isTty && this.#underWay.size > 0) {
      this.#output.write(`${ERASE_LINE}...    ${[...this.#underWay].join(', ')}`);
    }
  };

  /** Takes the line of what is under way away: before something else is written, and at the end. */
  clear(): void {
    if (this.#output.isTty) this.#output.write(ERASE_LINE);
  }
}
