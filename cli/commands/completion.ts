/** `weft completion` */
import { Argument } from 'commander';
import { addExamples, type Define } from '../invocation.js';

const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;

/** The script's one need of the package bash-completion, which a small machine lacks: TAB would print an error there. */
const WITHOUT_PACKAGE = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
    }
fi
`;

/** Registered anew: where nothing is offered and the answer's directive does not forbid it, bash completes files. */
const WITH_FILES = 'complete -o default -F __weft_complete weft';

export const define: Define = (command, act) => {
  addExamples(
    command.addArgument(new Argument('<shell>', 'which shell').choices(SHELLS)).action(
      act(async (invocation, shell: string) => {
        const { default: completion } = await import('@bomb.sh/tab');
        if (shell === 'bash') invocation.print(WITHOUT_PACKAGE);
        completion.setup('weft', 'weft', shell);
        if (shell === 'bash') invocation.print(WITH_FILES);
        return undefined;
      }),
    ),
    ['source <(weft completion bash)', 'in this shell'],
    ['weft completion bash > /etc/bash_completion.d/weft', 'in every shell to come'],
  );
};
