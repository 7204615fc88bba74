/** `weft completion` */
import { Argument } from 'commander';
import { addExamples, type Define } from '../invocation.js';

const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;

export const define: Define = (command, act) => {
  addExamples(
    command.addArgument(new Argument('<shell>', 'which shell').choices(SHELLS)).action(
      act(async (_invocation, shell: string) => {
        const { default: completion } = await import('@bomb.sh/tab');
        completion.setup('weft', 'weft', shell);
        return undefined;
      }),
    ),
    ['source <(weft completion bash)', 'in this shell'],
    ['weft completion bash > /etc/bash_completion.d/weft', 'in every shell to come'],
  );
};
