/** `weft network ...` */
import { Option } from 'commander';
import { WeftError } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { parseAttachment, type ConnectOptions } from '../arguments/attachments.js';
import { addConnectOptions } from '../arguments/connect-options.js';
import { collect, parseDriverOptions, parseLabels } from '../arguments/labels.js';
import { DRIVERS, parseDriver, parseNetworkName } from '../arguments/names.js';
import { parseSubnets, type SubnetOptions } from '../arguments/subnets.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { allNetworks } from '../lists.js';
import { eachOf, inspectEach } from '../several.js';
import { withShownId } from '../shown-id.js';

interface CreateOptions extends SubnetOptions {
  readonly driver: string;
  readonly ipv6?: boolean;
  readonly internal?: boolean;
  readonly label?: readonly string[];
  readonly opt?: readonly string[];
  readonly wait?: boolean;
}

export const define: Define = (network, act) => {
  addExamples(
    network
      .command('create')
      .description('make a network that spans all hosts')
      .argument('<name>', 'what to call it')
      .addOption(
        new Option('-d, --driver <driver>', 'how hosts join it')
          .choices(DRIVERS)
          .argParser(parseDriver)
          .default('overlay'),
      )
      .option('--subnet <cidr>', 'a subnet; chosen from a pool where none is given (repeats)', collect)
      .option('--gateway <ip>', 'the gateway of the subnet it lies in (repeats)', collect)
      .option('--ip-range <cidr>', 'choose addresses only from this part of a subnet (repeats)', collect)
      .option('--aux-address <name=ip>', 'keep an address for something else (repeats)', collect)
      .option('--ipv6', 'with no IPv6 subnet given: choose one too')
      .option('--internal', 'no way out: sandboxes get no default route')
      .option('--label <key=value>', 'a label (repeats)', collect)
      .option('-o, --opt <key=value>', 'an option of the driver, such as mtu=1400 (repeats)', collect)
      .option('--wait', 'return when every host concerned has it')
      .action(act((invocation, name: string, options: CreateOptions) => create(invocation, name, options))),
    ['weft network create web', 'with a subnet from the pool'],
    ['weft network create --subnet 10.1.0.0/24 --gateway 10.1.0.254 web', 'with a subnet of your own'],
    ['weft network create --subnet 10.1.0.0/24 --subnet fd00:1::/64 web', 'with IPv4 and IPv6'],
  );
  addExamples(
    network
      .command('ls')
      .description('list networks')
      .option('-q, --quiet', 'print ids only')
      .action(act((invocation, options: { readonly quiet?: boolean }) => list(invocation, options))),
    ['weft network ls', 'a table'],
    ['weft network ls --json', 'one JSON document: {"networks":[...]}'],
  );
  addExamples(
    network
      .command('inspect')
      .description('show networks in full, as JSON')
      .argument('<network...>', 'names or ids')
      .action(act((invocation, names: string[]) => inspect(invocation, names))),
    ['weft network inspect web', 'its VNI, subnets, options'],
  );
  addExamples(
    network
      .command('rm')
      .description('remove networks that have no endpoints')
      .argument('<network...>', 'names or ids')
      .option('-f, --force', 'no error for a network that does not exist')
      .option('--wait', 'return when no host concerned has it any more')
      .action(act((invocation, names: string[], options: RemoveOptions) => remove(invocation, names, options))),
    ['weft network rm web db', 'tries both, also when one fails'],
  );
  addExamples(
    addConnectOptions(network.command('connect'))
      .description('attach a sandbox of this host to a network')
      .argument('<network>', 'name or id')
      .argument('<sandbox>', 'its name on this host')
      .option('--wait', 'return when every host concerned has it')
      .action(
        act((invocation, name: string, sandbox: string, options: ConnectOptions & WaitOption) =>
          connect(invocation, { network: name, sandbox, options }),
        ),
      ),
    ['weft network connect web shop', 'with an address from the network'],
    ['weft network connect --ip 10.1.0.9 --alias api web shop', 'with one of your choice, and a second name'],
  );
  addExamples(
    network
      .command('disconnect')
      .description('detach a sandbox of this host from a network')
      .argument('<network>', 'name or id')
      .argument('<sandbox>', 'its name on this host')
      .option('-f, --force', 'no error when it is not connected')
      .option('--wait', 'return when no host concerned has it any more')
      .action(
        act((invocation, name: string, sandbox: string, options: RemoveOptions) =>
          disconnect(invocation, { network: name, sandbox, options }),
        ),
      ),
    ['weft network disconnect web shop', 'its address is free when the host has confirmed'],
  );
};

interface WaitOption {
  readonly wait?: boolean;
}

interface RemoveOptions extends WaitOption {
  readonly force?: boolean;
}

async function create(invocation: Invocation, name: string, options: CreateOptions): Promise<undefined> {
  const request = {
    // Chosen here, so that a request that is repeated after a lost answer makes no second network.
    id: newNetworkId(),
    name: parseNetworkName(name),
    driver: options.driver,
    subnets: parseSubnets(options),
    ipv6: options.ipv6 ?? false,
    internal: options.internal ?? false,
    labels: parseLabels(options.label),
    options: parseDriverOptions(options.opt),
  };
  const { connectControllers, present } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  const { networks, ask } = controllers;
  const { network, revision } = await ask(networks.create.bind(networks), request);
  const made = present(network, 'network');
  if (invocation.globals.json) invocation.printJson(Network.toJSON(made));
  else invocation.print(made.name);
  if (options.wait === true) await (await import('../wait.js')).waitFor(invocation, controllers, revision);
  return undefined;
}

async function list(invocation: Invocation, { quiet = false }: { readonly quiet?: boolean }): Promise<undefined> {
  const { connectControllers } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  const networks = await allNetworks(controllers);
  networks.sort((a, b) => a.name.localeCompare(b.name));
  if (invocation.globals.json) {
    invocation.printJson({ networks: networks.map((network) => Network.toJSON(network)) });
  } else if (quiet) {
    for (const { id } of networks) invocation.print(id);
  } else {
    const { listCell, renderTable } = await import('../output/table.js');
    const { shortId } = await import('../output/short-id.js');
    const rows = networks.map(({ id, name, driver, vni, subnets }) => [
      shortId(id),
      name,
      driver,
      String(vni),
      listCell(subnets.map(({ cidr }) => cidr)),
    ]);
    invocation.print(renderTable(['NETWORK ID', 'NAME', 'DRIVER', 'VNI', 'SUBNETS'], rows));
  }
  return undefined;
}

async function inspect(invocation: Invocation, names: readonly string[]): Promise<number> {
  const { connectControllers, present } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  const { networks, ask } = controllers;
  return await inspectEach(invocation, 'networks', names, async (name) => {
    const { network } = await withShownId(
      name,
      () => allNetworks(controllers),
      (nameOrId) => ask(networks.get.bind(networks), { network: nameOrId, minRevision: 0n }),
    );
    return Network.toJSON(present(network, 'network'));
  });
}

async function remove(invocation: Invocation, names: readonly string[], options: RemoveOptions): Promise<number> {
  const { connectControllers } = await import('../connect.js');
  using controllers = await connectControllers(invocation);
  const { networks, ask } = controllers;
  const { done, exitCode } = await eachOf(invocation, names, async (name) => {
    try {
      const { revision } = await withShownId(
        name,
        () => allNetworks(controllers),
        (network) => ask(networks.delete.bind(networks), { network }),
      );
      if (!invocation.globals.json) invocation.print(name);
      if (options.wait === true) await (await import('../wait.js')).waitFor(invocation, controllers, revision);
      return { name, revision: String(revision) };
    } catch (error) {
      if (options.force === true && error instanceof WeftError && error.reason === 'NETWORK_NOT_FOUND')
        return undefined;
      throw error;
    }
  });
  if (invocation.globals.json) invocation.printJson({ removed: done.filter((entry) => entry !== undefined) });
  return exitCode;
}

interface ConnectionChange<Options> {
  readonly network: string;
  readonly sandbox: string;
  readonly options: Options;
}

async function connect(
  invocation: Invocation,
  { network, sandbox, options }: ConnectionChange<ConnectOptions & WaitOption>,
): Promise<undefined> {
  const attachment = parseAttachment(network, options);
  const { connectAgent, present } = await import('../connect.js');
  const { Endpoint } = await import('../../proto/gen/weft/v1/endpoint.js');
  const { withAgentProgress } = await import('../output/progress.js');
  using agent = connectAgent(invocation);
  const { sandboxes, ask } = agent;
  const request = { name: sandbox, attachment, wait: options.wait ?? false };
  const { endpoint } = await withAgentProgress(invocation, () => ask(sandboxes.connect.bind(sandboxes), request));
  const made = present(endpoint, 'endpoint');
  if (invocation.globals.json) invocation.printJson(Endpoint.toJSON(made));
  else invocation.print(made.id);
  return undefined;
}

async function disconnect(
  invocation: Invocation,
  { network, sandbox, options }: ConnectionChange<RemoveOptions>,
): Promise<undefined> {
  const { connectAgent } = await import('../connect.js');
  const { DisconnectSandboxResponse } = await import('../../proto/gen/weft/v1/sandbox.js');
  const { withAgentProgress } = await import('../output/progress.js');
  using agent = connectAgent(invocation);
  const { sandboxes, ask } = agent;
  const request = { name: sandbox, network, wait: options.wait ?? false };
  try {
    const response = await withAgentProgress(invocation, () => ask(sandboxes.disconnect.bind(sandboxes), request));
    if (invocation.globals.json) invocation.printJson(DisconnectSandboxResponse.toJSON(response));
    else invocation.print(sandbox);
  } catch (error) {
    const absent = error instanceof WeftError && error.status === 'NOT_FOUND';
    if (options.force !== true || !absent) throw error;
    if (invocation.globals.json) invocation.printJson(DisconnectSandboxResponse.toJSON({ revision: 0n }));
  }
  return undefined;
}
