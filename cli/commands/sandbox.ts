/** `weft sandbox ...` */
import { WeftError } from '../../core/errors.js';
import { parseAttachments, type SandboxNetworkOptions } from '../arguments/attachments.js';
import { addSandboxOptions } from '../arguments/connect-options.js';
import { parseName } from '../arguments/names.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { byName } from '../natural-order.js';
import { eachOf, inspectEach } from '../several.js';

interface CreateOptions extends SandboxNetworkOptions {
  readonly wait?: boolean;
}

interface RemoveOptions {
  readonly force?: boolean;
  readonly wait?: boolean;
}

export const define: Define = (sandbox, act) => {
  addExamples(
    addSandboxOptions(sandbox.command('create'))
      .description('make a sandbox on this host, attached to networks')
      .argument('<name>', 'what to call it; its name in DNS too')
      .option('--wait', 'return when every host concerned has it')
      .action(act((invocation, name: string, options: CreateOptions) => create(invocation, name, options))),
    ['weft sandbox create --network web shop', 'on one network'],
    ['weft sandbox create --network web --network db shop', 'on two'],
    ['weft sandbox create --network none box', 'with nothing but loopback'],
  );
  addExamples(
    sandbox
      .command('ls')
      .description("list this host's sandboxes")
      .action(act((invocation) => list(invocation))),
    ['weft sandbox ls', 'a table'],
    ['weft sandbox ls --json', 'one JSON document: {"sandboxes":[...]}'],
  );
  addExamples(
    sandbox
      .command('inspect')
      .description('show sandboxes of this host in full, as JSON')
      .argument('<sandbox...>', 'names')
      .action(act((invocation, names: string[]) => inspect(invocation, names))),
    ['weft sandbox inspect shop', 'its namespace, endpoints, addresses'],
  );
  addExamples(
    sandbox
      .command('rm')
      .description('detach sandboxes of this host from their networks, and remove them')
      .argument('<sandbox...>', 'names')
      .option('-f, --force', 'no error for a sandbox that does not exist')
      .option('--wait', 'return when no host concerned has it any more')
      .action(act((invocation, names: string[], options: RemoveOptions) => remove(invocation, names, options))),
    ['weft sandbox rm shop', 'its addresses are free afterwards'],
  );
};

async function create(invocation: Invocation, name: string, options: CreateOptions): Promise<undefined> {
  const request = {
    name: parseName('NAME', name),
    attachments: parseAttachments(options),
    wait: options.wait ?? false,
  };
  const { connectAgent, present } = await import('../connect.js');
  const { Sandbox } = await import('../../proto/gen/weft/v1/sandbox.js');
  const { withAgentProgress } = await import('../output/progress.js');
  using agent = connectAgent(invocation);
  const { sandboxes, ask } = agent;
  const { sandbox } = await withAgentProgress(invocation, () => ask(sandboxes.create.bind(sandboxes), request));
  const made = present(sandbox, 'sandbox');
  if (invocation.globals.json) invocation.printJson(Sandbox.toJSON(made));
  else invocation.print(made.name);
  return undefined;
}

async function list(invocation: Invocation): Promise<undefined> {
  const { connectAgent } = await import('../connect.js');
  const { Sandbox } = await import('../../proto/gen/weft/v1/sandbox.js');
  using agent = connectAgent(invocation);
  const { sandboxes: found } = await agent.ask(agent.sandboxes.list.bind(agent.sandboxes), {});
  if (invocation.globals.json) {
    invocation.printJson({ sandboxes: found.map((sandbox) => Sandbox.toJSON(sandbox)) });
    return undefined;
  }
  const { listCell, renderTable } = await import('../output/table.js');
  const { makePaint, sandboxWord } = await import('../output/states.js');
  const paint = makePaint(invocation.surroundings);
  const rows = found
    .sort(byName)
    .map(({ name, state, endpoints, networks, netns }) => [
      name,
      paint(sandboxWord(state)),
      listCell(networks),
      listCell(endpoints.flatMap(({ addresses }) => addresses)),
      netns,
    ]);
  invocation.print(renderTable(['NAME', 'STATE', 'NETWORKS', 'ADDRESSES', 'NETNS'], rows));
  return undefined;
}

async function inspect(invocation: Invocation, names: readonly string[]): Promise<number> {
  const { connectAgent, present } = await import('../connect.js');
  const { Sandbox } = await import('../../proto/gen/weft/v1/sandbox.js');
  using agent = connectAgent(invocation);
  const { sandboxes, ask } = agent;
  return await inspectEach(invocation, 'sandboxes', names, async (name) => {
    const { sandbox } = await ask(sandboxes.get.bind(sandboxes), { name });
    return Sandbox.toJSON(present(sandbox, 'sandbox'));
  });
}

async function remove(invocation: Invocation, names: readonly string[], options: RemoveOptions): Promise<number> {
  const { connectAgent } = await import('../connect.js');
  const { withAgentProgress } = await import('../output/progress.js');
  using agent = connectAgent(invocation);
  const { sandboxes, ask } = agent;
  const { done, exitCode } = await eachOf(invocation, names, async (name) => {
    try {
      const request = { name, wait: options.wait ?? false };
      const { revision } = await withAgentProgress(invocation, () => ask(sandboxes.delete.bind(sandboxes), request));
      if (!invocation.globals.json) invocation.print(name);
      return { name, revision: String(revision) };
    } catch (error) {
      if (options.force === true && error instanceof WeftError && error.reason === 'SANDBOX_NOT_FOUND')
        return undefined;
      throw error;
    }
  });
  if (invocation.globals.json) invocation.printJson({ removed: done.filter((entry) => entry !== undefined) });
  return exitCode;
}
