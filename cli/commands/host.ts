/** `weft host ...` */
import type { UnaryMethod } from '../../proto/call.js';
import type { HostServiceClient } from '../../proto/gen/weft/v1/host.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { allHosts } from '../lists.js';
import { byName } from '../natural-order.js';
import { eachOf, inspectEach } from '../several.js';
import { withShownId } from '../shown-id.js';

export const define: Define = (host, act) => {
  addExamples(
    host
      .command('ls')
      .description('list the hosts of the cluster')
      .option('-q, --quiet', 'print ids only')
      .action(act((invocation, options: ListOptions) => list(invocation, options))),
    ['weft host ls', 'a table'],
    ['weft host ls --json', 'one JSON document: {"hosts":[...]}'],
  );
  addExamples(
    host
      .command('inspect')
      .description('show hosts in full, as JSON')
      .argument('<host...>', 'names or ids')
      .action(act((invocation, names: string[]) => inspect(invocation, names))),
    ['weft host inspect h1', 'its tunnel address, what it has acked, what it could not do'],
  );
  addExamples(
    host
      .command('drain')
      .description('let no new endpoints come to be on hosts; those they have stay')
      .argument('<host...>', 'names or ids')
      .action(
        act((invocation, names: string[]) =>
          changeEach(invocation, names, { done: 'drained', call: (client) => client.drain.bind(client) }),
        ),
      ),
    ['weft host drain h1', 'and remove its sandboxes there, before it is taken away'],
  );
  addExamples(
    host
      .command('activate')
      .description('let hosts have new endpoints again')
      .argument('<host...>', 'names or ids')
      .action(
        act((invocation, names: string[]) =>
          changeEach(invocation, names, { done: 'activated', call: (client) => client.activate.bind(client) }),
        ),
      ),
    ['weft host activate h1', 'undoes drain'],
  );
  addExamples(
    host
      .command('rm')
      .description('remove hosts from the cluster, for good')
      .argument('<host...>', 'names or ids')
      .option('-f, --force', 'also hosts that are connected or have endpoints: they are shut out')
      .action(act((invocation, names: string[], options: RemoveOptions) => remove(invocation, names, options))),
    ['weft host rm h1', 'one whose agent was stopped, and that has no sandboxes'],
    ['weft host rm -f h1', 'one that will never come back, with all that it had'],
  );
};

interface RemoveOptions {
  readonly force?: boolean;
}

function remove(invocation: Invocation, names: readonly string[], { force = false }: RemoveOptions): Promise<number> {
  return changeEach(invocation, names, {
    done: 'removed',
    call:
      (client) =>
      (request, ...rest) =>
        client.delete({ ...request, force }, ...rest),
  });
}

type Change = UnaryMethod<{ readonly host: string }, { readonly revision: bigint }>;

/** Asks for the same of each host, and prints the names of those of which it was done. */
async function changeEach(
  invocation: Invocation,
  names: readonly string[],
  { done: word, call }: { readonly done: string; readonly call: (client: HostServiceClient) => Change },
): Promise<number> {
  const { connectControllers } = await import('../connect.js');
  using controllers = await connectControllers(invocation);
  const { hosts, ask } = controllers;
  const { done, exitCode } = await eachOf(invocation, names, async (name) => {
    const { revision } = await withShownId(
      name,
      () => allHosts(controllers),
      (host) => ask(call(hosts), { host }),
    );
    if (!invocation.globals.json) invocation.print(name);
    return { name, revision: String(revision) };
  });
  if (invocation.globals.json) invocation.printJson({ [word]: done });
  return exitCode;
}

interface ListOptions {
  readonly quiet?: boolean;
}

async function list(invocation: Invocation, { quiet = false }: ListOptions): Promise<undefined> {
  const { connectControllers } = await import('../connect.js');
  const { Host } = await import('../../proto/gen/weft/v1/host.js');
  using controllers = await connectControllers(invocation);
  const found = await allHosts(controllers);
  found.sort(byName);
  if (invocation.globals.json) {
    invocation.printJson({ hosts: found.map((host) => Host.toJSON(host)) });
    return undefined;
  }
  if (quiet) {
    for (const { id } of found) invocation.print(id);
    return undefined;
  }
  const { renderTable } = await import('../output/table.js');
  const { shortId } = await import('../output/short-id.js');
  const { HostState } = await import('../../proto/gen/weft/v1/host.js');
  const { availabilityWord, hostWord, makePaint } = await import('../output/states.js');
  const paint = makePaint(invocation.surroundings);
  const rows = found.map(({ id, name, vtep, state, availability, ackedRevision, version, problems }) => [
    shortId(id),
    name,
    vtep,
    paint(hostWord(state)),
    paint(availabilityWord(availability)),
    state === HostState.HOST_STATE_READY && ackedRevision === 0n ? '?' : String(ackedRevision),
    version,
    problems.length === 0 ? '-' : String(problems.length),
  ]);
  invocation.print(
    renderTable(['HOST ID', 'NAME', 'VTEP', 'STATE', 'AVAILABILITY', 'ACKED', 'VERSION', 'PROBLEMS'], rows),
  );
  return undefined;
}

async function inspect(invocation: Invocation, names: readonly string[]): Promise<number> {
  const { connectControllers, present } = await import('../connect.js');
  const { Host } = await import('../../proto/gen/weft/v1/host.js');
  using controllers = await connectControllers(invocation);
  const { hosts, ask } = controllers;
  return await inspectEach(invocation, 'hosts', names, async (name) => {
    const { host } = await withShownId(
      name,
      () => allHosts(controllers),
      (nameOrId) => ask(hosts.get.bind(hosts), { host: nameOrId, minRevision: 0n }),
    );
    return Host.toJSON(present(host, 'host'));
  });
}
