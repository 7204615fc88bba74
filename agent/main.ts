/** `weft-agent`: one on each host. */
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
      const { run } = await import('./run.js');
      return run(parsed.flags);
    }
  }
}
