/** `weft host ...` */
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { allHosts } from '../lists.js';
import { byName } from '../natural-order.js';
import { inspectEach } from '../several.js';
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
};

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
  const { hostWord, makePaint } = await import('../output/states.js');
  const paint = makePaint(invocation.surroundings);
  const rows = found.map(({ id, name, vtep, state, ackedRevision, version, problems }) => [
    shortId(id),
    name,
    vtep,
    paint(hostWord(state)),
    state === HostState.HOST_STATE_READY && ackedRevision === 0n ? '?' : String(ackedRevision),
    version,
    problems.length === 0 ? '-' : String(problems.length),
  ]);
  invocation.print(renderTable(['HOST ID', 'NAME', 'VTEP', 'STATE', 'ACKED', 'VERSION', 'PROBLEMS'], rows));
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
