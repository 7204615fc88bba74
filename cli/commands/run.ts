/** `weft run` */
import { WeftError } from '../../core/errors.js';
import { parseAttachments, type SandboxNetworkOptions } from '../arguments/attachments.js';
import { parseCommandLine, refuseJson } from '../arguments/command-line.js';
import { addSandboxOptions } from '../arguments/connect-options.js';
import { parseName } from '../arguments/names.js';
import type { Agent } from '../connect.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { readableName } from '../readable-name.js';
import { interruptionOf } from '../surroundings.js';
import type { Sandbox } from '../../proto/gen/weft/v1/sandbox.js';

interface RunOptions extends SandboxNetworkOptions {
  readonly name?: string;
  readonly keep?: boolean;
  readonly wait?: boolean;
}

export const define: Define = (command, act) => {
  addExamples(
    addSandboxOptions(
      command
        .option('--name <name>', 'what to call the sandbox; a readable name is made up otherwise')
        .option('--keep', 'leave the sandbox when the program has ended'),
    )
      .option('--wait', 'begin when every host concerned has the sandbox')
      .argument('<cmd...>', 'the program and its arguments, behind --')
      .usage('[options] -- CMD...')
      .passThroughOptions()
      .action(act((invocation, words: string[], options: RunOptions) => run(invocation, words, options))),
    ['weft run --network web -- ping -c 3 shop', 'a sandbox for as long as ping runs'],
    ['weft run --network web --name box --keep -- sh', 'a shell; the sandbox stays'],
  );
};

async function run(invocation: Invocation, words: readonly string[], options: RunOptions): Promise<number> {
  refuseJson(invocation);
  const argv = parseCommandLine(words);
  const name = options.name === undefined ? readableName() : parseName('--name', options.name);
  const request = { name, attachments: parseAttachments(options), wait: options.wait ?? false };
  const { connectAgent } = await import('../connect.js');
  const { agentLauncher, enterArgv } = await import('../enter.js');
  using agent = connectAgent(invocation);
  const sandbox = await create(agent, request, options.name === undefined);
  try {
    const interruption = interruptionOf(invocation.surroundings.signal);
    if (interruption !== undefined) throw interruption;
    return await invocation.surroundings.runProgram(enterArgv(agentLauncher(), sandbox, argv));
  } finally {
    if (options.keep === true) invocation.note(`the sandbox is kept: ${name}`);
    else await removeOrTell(agent, name, invocation.globals.timeoutMs);
  }
}

/**
 * Makes the sandbox. An interruption does not cut this short, because then nobody would know whether there is a
 * sandbox to remove; the time limit does, and then one that bears a name of our own making is removed all the same.
 */
async function create(
  agent: Agent,
  request: { name: string; attachments: ReturnType<typeof parseAttachments>; wait: boolean },
  ownName: boolean,
): Promise<Sandbox> {
  const { present } = await import('../connect.js');
  const { sandboxes, ask } = agent;
  try {
    const { sandbox } = await ask(sandboxes.create.bind(sandboxes), request, { signal: new AbortController().signal });
    return present(sandbox, 'sandbox');
  } catch (error) {
    const unknown = error instanceof WeftError && ['DEADLINE_EXCEEDED', 'UNAVAILABLE'].includes(error.status);
    // The create's own error is the one to tell; that the removal failed too follows from it.
    if (unknown && ownName) await remove(agent, request.name, REMOVAL_AFTER_FAILURE_MS).catch(() => undefined);
    throw error;
  }
}

const REMOVAL_AFTER_FAILURE_MS = 5000;

/** A sandbox that stays behind must not stay unmentioned. */
async function removeOrTell(agent: Agent, name: string, timeoutMs: number): Promise<void> {
  try {
    await remove(agent, name, timeoutMs);
  } catch (error) {
    if (!(error instanceof WeftError)) throw error;
    const message = `the sandbox is left behind: ${error.message}; remove it with weft sandbox rm ${name}`;
    throw new WeftError({ reason: error.reason, message }, { cause: error });
  }
}

/** Also after an interruption, so with a signal and a time limit of its own. One that is gone already is fine. */
async function remove({ sandboxes, ask }: Agent, name: string, timeoutMs: number): Promise<void> {
  try {
    const limits = { signal: new AbortController().signal, timeoutMs };
    await ask(sandboxes.delete.bind(sandboxes), { name, wait: false }, limits);
  } catch (error) {
    if (!(error instanceof WeftError) || error.reason !== 'SANDBOX_NOT_FOUND') throw error;
  }
}
