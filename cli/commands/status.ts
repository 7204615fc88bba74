/** `weft status` */
import { addExamples, type Define, type Invocation } from '../invocation.js';

export const define: Define = (command, act) => {
  addExamples(
    command.action(act((invocation) => status(invocation))),
    ['weft status', 'one screen: etcd, revision, hosts, problems'],
    ['weft status --json', 'the same as one JSON document'],
  );
};

async function status(invocation: Invocation): Promise<undefined> {
  const { connectControllers } = await import('../connect.js');
  const { GetStatusResponse } = await import('../../proto/gen/weft/v1/cluster.js');
  using controllers = await connectControllers(invocation);
  const { cluster, ask } = controllers;
  const answer = await ask(cluster.getStatus.bind(cluster), {});
  if (invocation.globals.json) {
    invocation.printJson(GetStatusResponse.toJSON(answer));
    return undefined;
  }
  const { renderStatus } = await import('../output/status.js');
  const { makePaint } = await import('../output/states.js');
  invocation.print(renderStatus(answer, invocation.globals.controllers, makePaint(invocation.surroundings)));
  return undefined;
}
