/** `weft-agent`: one on each host. */
import { BAD_USAGE } from '../core/daemon/command-line.js';
import { WeftError } from '../core/errors.js';
import { parseFlags } from './flags.js';

/** Runs one command line, `argv` without node and script; resolves with the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseFlags(argv);
  switch (parsed.command) {
    case 'exit':
      return parsed.code;
    case 'enter': {
      // Each command loads only what it needs: `enter` stands before every `weft exec`.
      const { enterSandbox } = await import('./enter-sandbox.js');
      return enterSandbox(parsed.flags);
    }
    case 'run': {
      const [{ run }, { parseControllers }] = await Promise.all([
        import('./run.js'),
        import('../proto/controller-list.js'),
      ]);
      try {
        parseControllers(parsed.flags.controller);
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        process.stderr.write(`weft-agent: ${error.message}; see weft-agent --help\n`);
        return BAD_USAGE;
      }
      return run(parsed.flags);
    }
  }
}
