/** `weft-agent enter`: replaces this process by a command inside a sandbox. */
import type { EnterFlags } from './flags.js';
import { enter, EnterError } from './kernel/enter.js';
import { KernelError } from './kernel/kernel-error.js';

/** Returns only when it failed, with the exit status env(1) would have. */
export function enterSandbox({ netns, binds, argv }: EnterFlags): number {
  try {
    return enter({ netns, binds, argv });
  } catch (error) {
    if (!(error instanceof EnterError || error instanceof KernelError)) throw error;
    process.stderr.write(`weft: ${error.message}\n`);
    return error instanceof EnterError ? error.exitCode : 1;
  }
}
