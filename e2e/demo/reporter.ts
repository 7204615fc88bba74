/** How the demo shows its steps: on a terminal a line that lives while the step runs, elsewhere one line a step. */
import colours from 'picocolors';

export interface StepOutcome {
  readonly title: string;
  readonly ok: boolean;
}

/** Runs steps one after another and keeps what came of them. A step's work returns its figure: what was seen, in a few words. */
export class Reporter {
  readonly outcomes: StepOutcome[] = [];
  readonly #live = process.stdout.isTTY;

  heading(text: string): void {
    process.stdout.write(`\n${colours.bold(text)}\n`);
  }

  /** A line that is no check. */
  note(text: string): void {
    process.stdout.write(`    ${colours.dim(text)}\n`);
  }

  /** One check. A thrown error is its failure, shown and counted; later steps still run. */
  async step(title: string, work: (progress: (text: string) => void) => Promise<string>): Promise<boolean> {
    const began = performance.now();
    const show = (detail: string): void => {
      if (this.#live) process.stdout.write(`\r\u001b[K  ${colours.dim('…')} ${title}  ${colours.dim(detail)}`);
    };
    show('');
    try {
      const figure = await work(show);
      this.#end({ title, ok: true }, `${title.padEnd(TITLE_WIDTH)} ${colours.cyan(figure)}`, began);
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#end({ title, ok: false }, `${title}: ${reason}`, began);
      return false;
    }
  }

  #end(outcome: StepOutcome, text: string, began: number): void {
    this.outcomes.push(outcome);
    const mark = outcome.ok ? colours.green('✔') : colours.red('✘');
    const took = colours.dim(`${((performance.now() - began) / 1000).toFixed(1)} s`);
    process.stdout.write(`${this.#live ? '\r\u001b[K' : ''}  ${mark} ${text}  ${took}\n`);
  }
}

const TITLE_WIDTH = 58;
