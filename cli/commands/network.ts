/** `weft network ...` */
import { Option } from 'commander';
import { WeftError } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { NETWORK_OPTIONS } from '../../core/network-options.js';
import { parseAttachment, type ConnectOptions } from '../arguments/attachments.js';
import { addConnectOptions } from '../arguments/connect-options.js';
import { NETWORK_FILTERS, PRUNE_FILTERS } from '../arguments/filters.js';
import { collect, parseDriverOptions, parseLabels } from '../arguments/labels.js';
import { DRIVERS, parseDriver, parseNetworkName } from '../arguments/names.js';
import { parseSubnets, type SubnetOptions } from '../arguments/subnets.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { ELSEWHERE, IMMUTABLE } from '../networks/changes.js';
import { pruneNetworks, removeNetworks, type PruneOptions, type RemoveOptions } from '../networks/remove.js';
import { inspectNetworks, listNetworks, type ListOptions } from '../networks/show.js';
import { updateNetworks, type UpdateOptions } from '../networks/update.js';

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
      .option('-o, --opt <key=value>', `an option: ${NETWORK_OPTIONS.join(', ')} (repeats)`, collect)
      .option('--wait', 'return when every host concerned has it')
      .action(act((invocation, name: string, options: CreateOptions) => create(invocation, name, options))),
    ['weft network create web', 'with a subnet from the pool'],
    ['weft network create --subnet 10.1.0.0/24 --gateway 10.1.0.254 web', 'with a subnet of your own'],
    ['weft network create --subnet 10.1.0.0/24 --subnet fd00:1::/64 web', 'with IPv4 and IPv6'],
    ['weft network create -o mtu=1400 -o dns-search=shop.example web', 'with options'],
  );
  addExamples(
    network
      .command('ls')
      .description('list networks')
      .option('-f, --filter <key=value>', `only some: ${NETWORK_FILTERS.join(', ')} (repeats)`, collect)
      .option('-q, --quiet', 'print ids only, which the predefined networks have none of')
      .action(act((invocation, options: ListOptions) => listNetworks(invocation, options))),
    ['weft network ls', 'a table'],
    ['weft network ls --filter label=tier=front --filter dangling=true', 'those of a label that nobody uses'],
    ['weft network ls --json', 'one JSON document: {"networks":[...]}'],
  );
  addExamples(
    network
      .command('inspect')
      .description('show networks in full, as JSON')
      .argument('<network...>', 'names or ids')
      .action(act((invocation, names: string[]) => inspectNetworks(invocation, names))),
    ['weft network inspect web', 'its subnets, who is on it, how many addresses are left'],
    ['weft network inspect --json web', 'just the message, in one line'],
  );
  addExamples(
    network
      .command('rm')
      .description('remove networks that have no endpoints')
      .argument('<network...>', 'names or ids')
      .option('-f, --force', 'no error for a network that does not exist')
      .option('--wait', 'return when no host concerned has it any more')
      .action(act((invocation, names: string[], options: RemoveOptions) => removeNetworks(invocation, names, options))),
    ['weft network rm web db', 'tries both, also when one fails'],
  );
  addExamples(
    network
      .command('prune')
      .description('remove every network that has no endpoints')
      .option('--filter <key=value>', `only some: ${PRUNE_FILTERS.join(', ')} (repeats)`, collect)
      .option('-f, --force', 'do not ask')
      .option('--wait', 'return when no host concerned has them any more')
      .action(act((invocation, options: PruneOptions) => pruneNetworks(invocation, options))),
    ['weft network prune', 'names them, and asks'],
    ['weft network prune -f --filter until=24h', 'those that are older than a day, unasked'],
  );
  defineUpdate(network, act);
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

const defineUpdate: Define = (network, act) => {
  const update = network
    .command('update')
    .description('change networks in use; every host applies it live')
    .argument('<network...>', 'names or ids')
    .option('--label <key=value>', 'set a label (repeats)', collect)
    .option('--label-rm <key>', 'remove a label (repeats)', collect)
    .option('-o, --opt <key=value>', `set an option: ${NETWORK_OPTIONS.join(', ')} (repeats)`, collect)
    .option('--option-rm <key>', 'remove an option (repeats)', collect)
    .option('--add-subnet <cidr>', 'one subnet more (repeats)', collect)
    .option('--grow <cidr>', 'make the subnet that lies in this one as large (repeats)', collect)
    .option('--shrink <cidr>', 'make the subnet around this one as small (repeats)', collect)
    .option('--rm-subnet <cidr>', 'remove a subnet in which nobody has an address (repeats)', collect)
    .option('--gateway <ip>', 'the gateway of the subnet it lies in (repeats)', collect)
    .option('--ip-range <cidr>', 'choose addresses only from this part of a subnet (repeats)', collect)
    .option('--aux-address <name=ip>', 'keep an address for something else (repeats)', collect)
    .option('--aux-address-rm <name>', 'keep it no longer (repeats)', collect)
    .option('--wait', 'return when every host concerned has it')
    .action(act((invocation, names: string[], options: UpdateOptions) => updateNetworks(invocation, names, options)));
  for (const [flags] of [...IMMUTABLE, ...ELSEWHERE]) update.addOption(new Option(flags).hideHelp());
  addExamples(
    update,
    ['weft network update --label tier=front --label-rm old web', 'labels'],
    ['weft network update -o mtu=1400 --wait web', 'its MTU, on every host when this returns'],
    ['weft network update --grow 10.1.0.0/16 web', 'more addresses, for a network that was 10.1.0.0/24'],
    ['weft network update --add-subnet fd00:1::/64 web', 'IPv6 too, for the endpoints to come'],
  );
};

interface WaitOption {
  readonly wait?: boolean;
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
  if (options.wait === true) {
    await (await import('../wait.js')).waitFor(invocation, controllers, revision);
    await (await import('../networks/notices.js')).tellNotices(invocation, controllers, made.name);
  }
  return undefined;
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
