/** `weft exec` */
import { parseCommandLine, refuseJson } from '../arguments/command-line.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { interruptionOf } from '../surroundings.js';

export const define: Define = (command, act) => {
  addExamples(
    command
      .argument('<sandbox>', 'its name on this host')
      .argument('<cmd...>', 'the program and its arguments, behind --')
      .usage('[options] SANDBOX -- CMD...')
      .passThroughOptions()
      .action(act((invocation, sandbox: string, words: string[]) => exec(invocation, sandbox, words))),
    ['weft exec shop -- ping -c 3 db', 'with the names and addresses of the sandbox'],
    ['weft exec shop -- sh', 'a shell there'],
  );
};

async function exec(invocation: Invocation, name: string, words: readonly string[]): Promise<number> {
  refuseJson(invocation);
  const argv = parseCommandLine(words);
  const { connectAgent, present } = await import('../connect.js');
  const { agentLauncher, enterArgv } = await import('../enter.js');
  const readSandbox = async () => {
    using agent = connectAgent(invocation);
    const { sandbox } = await agent.ask(agent.sandboxes.get.bind(agent.sandboxes), { name });
    return present(sandbox, 'sandbox');
  };
  const sandbox = await readSandbox();
  const interruption = interruptionOf(invocation.surroundings.signal);
  if (interruption !== undefined) throw interruption;
  return invocation.surroundings.runProgram(enterArgv(agentLauncher(), sandbox, argv));
}
