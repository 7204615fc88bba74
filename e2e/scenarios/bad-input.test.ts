import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { status as codes, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REASONS, WeftError, type Reason } from '../../core/errors.js';
import { newNetworkId } from '../../core/ids.js';
import { CreateEndpointRequest } from '../../proto/gen/weft/v1/endpoint.js';
import { CreateNetworkRequest, type Network } from '../../proto/gen/weft/v1/network.js';
import { CreateSandboxRequest } from '../../proto/gen/weft/v1/sandbox.js';
import { Lab } from '../lab/lab.js';
import { program } from '../lab/lab-host.js';
import { Cluster, type Box } from './cluster.js';
import { kernelPicture } from './kernel-picture.js';
import { ControllerClient, openAgent, type AgentClient } from './lab-clients.js';

const here: Box = { host: 'h1', name: 'here' };
const there: Box = { host: 'h2', name: 'there' };

let dir: string;
let lab: Lab;
let controller: ControllerClient;
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'bad-input', hosts: 2, dir });
  controller = await ControllerClient.open(lab);
  const cluster = new Cluster(lab);
  const networks: Readonly<Record<string, readonly string[]>> = {
    net: ['--subnet', '10.50.0.0/24'],
    twin: ['--subnet', '10.50.0.0/25'],
    tiny: ['--subnet', '10.60.0.0/30'],
    dual: ['--subnet', '10.70.0.0/24', '--subnet', 'fd00:70::/64', '--aux-address', 'printer=10.70.0.99'],
    narrow: ['--subnet', '10.80.0.0/24', '--ip-range', '10.80.0.128/31'],
  };
  for (const [name, options] of Object.entries(networks)) await cluster.createNetwork(name, ...options);
  await cluster.createSandbox(here, ['net'], '--ip', '10.50.0.10', '--mac', '02:00:00:00:00:10');
  await cluster.createSandbox(there, ['net', 'tiny']);
  for (const name of ['narrow-1', 'narrow-2']) await cluster.createSandbox({ host: 'h2', name }, ['narrow']);
  await controller.converged();
  before = await everything();
});
afterAll(async () => {
  await Lab.down('bad-input', { dir });
  rmSync(dir, { recursive: true });
});

/** Objects in the store with their revisions, the hosts' namespaces, and the agents' own files: a moment's look. */
async function outline() {
  const { ask, networks } = controller;
  const page = { pageSize: 0, pageToken: '', minRevision: 0n, filters: [] };
  const [endpoints, listed] = await Promise.all([controller.listEndpoints(), ask(networks.list.bind(networks), page)]);
  const hosts = lab.hosts.map((host) => ({
    namespaces: host.namespaces(),
    records: readdirSync(path.join(host.subdirectory('state'), 'sandboxes')),
    files: readdirSync(host.fromOutside('/run/weft/sandboxes')),
  }));
  return { endpoints, networks: listed.networks.map(withoutUsage), hosts };
}

/** An address that somebody had for a moment, until it was refused the next, rests, and is remembered: that may change. */
function withoutUsage({ usage: _, subnets, ...network }: Network) {
  return { ...network, subnets: subnets.map(({ usage: _usage, ...subnet }) => subnet) };
}

const isTransient = (key: string): boolean => /^\/weft\/v1\/(o\/(resting|controllers|alive|grace)|h|l)\//.test(key);

/** That, every key in the store, and everything in the kernels. */
async function everything() {
  const [keys, kernels, outlined] = await Promise.all([
    lab.c1.etcdKeys(),
    Promise.all(lab.hosts.map((host) => kernelPicture(host))),
    outline(),
  ]);
  return { keys: keys.filter((key) => !isTransient(key)), kernels, ...outlined };
}

async function expectNothingChanged(): Promise<void> {
  const { endpoints, networks, hosts } = before;
  expect(await outline()).toEqual({ endpoints, networks, hosts });
}

/** A command line, its exit status, and what its one line on stderr says. */
type Case = readonly [line: string | readonly string[], status: number, says: RegExp];

const CREATE: readonly Case[] = [
  // Subnets.
  ['network create --subnet 10.1.0.0 x', 2, /"10\.1\.0\.0" is no subnet/],
  ['network create --subnet 10.1.0.0/33 x', 2, /"10\.1\.0\.0\/33" is no subnet/],
  ['network create --subnet 300.1.0.0/24 x', 2, /"300\.1\.0\.0\/24" is no subnet/],
  ['network create --subnet 10.1/16 x', 2, /"10\.1\/16" is no subnet/],
  ['network create --subnet 010.1.0.0/24 x', 2, /"010\.1\.0\.0\/24" is no subnet/],
  ['network create --subnet 10.1.0.0/024 x', 2, /"10\.1\.0\.0\/024" is no subnet/],
  ['network create --subnet 10.1.0.0/24/8 x', 2, /is no subnet/],
  ['network create --subnet fd00:1::/129 x', 2, /"fd00:1::\/129" is no subnet/],
  ['network create --subnet fd00:1:::/64 x', 2, /is no subnet/],
  [['network', 'create', '--subnet', '', 'x'], 2, /--subnet/],
  [['network', 'create', '--subnet', ' 10.1.0.0/24', 'x'], 2, /" 10\.1\.0\.0\/24" is no subnet/],
  ['network create --subnet 10.1.0.9/24 x', 2, /host bits.*10\.1\.0\.0\/24|the subnet is 10\.1\.0\.0\/24/],
  ['network create --subnet fd00:1::1/64 x', 2, /host bits.*fd00:1::\/64|the subnet is fd00:1::\/64/],
  ['network create --subnet 10.1.0.0/31 x', 2, /10\.1\.0\.0\/31: an IPv4 subnet has a prefix length from/],
  ['network create --subnet 10.1.0.0/32 x', 2, /an IPv4 subnet has a prefix length from/],
  ['network create --subnet 0.0.0.0/0 x', 2, /an IPv4 subnet has a prefix length from/],
  ['network create --subnet fd00:1::/128 x', 2, /an IPv6 subnet has a prefix length from/],
  ['network create --subnet 10.1.0.0/16 --subnet 10.1.2.0/24 x', 2, /10\.1\.2\.0\/24 overlaps 10\.1\.0\.0\/16/],
  ['network create --subnet 10.1.0.0/24 --subnet 10.1.0.0/24 x', 2, /overlaps|twice/],
  // Addresses in them.
  ['network create --subnet 10.1.0.0/24 --gateway 10.2.0.1 x', 2, /--gateway: 10\.2\.0\.1 is in none/],
  ['network create --subnet 10.1.0.0/24 --gateway fd00::1 x', 2, /--gateway: fd00::1 is in none/],
  ['network create --subnet 10.1.0.0/24 --gateway 10.1.0.0 x', 2, /10\.1\.0\.0 is the network address/],
  ['network create --subnet 10.1.0.0/24 --gateway 10.1.0.255 x', 2, /10\.1\.0\.255 is the broadcast address/],
  ['network create --subnet fd00:1::/64 --gateway fd00:1:: x', 2, /fd00:1:: is the router anycast address/],
  ['network create --subnet 10.1.0.0/24 --gateway 10.1.0 x', 2, /--gateway: "10\.1\.0"/],
  ['network create --subnet 10.1.0.0/24 --gateway 10.1.0.1 --gateway 10.1.0.2 x', 2, /--gateway/],
  ['network create --gateway 10.1.0.1 x', 2, /--gateway/],
  ['network create --subnet 10.1.0.0/24 --ip-range 10.2.0.0/25 x', 2, /--ip-range: 10\.2\.0\.0\/25/],
  ['network create --subnet 10.1.0.0/24 --ip-range 10.1.0.0/16 x', 2, /--ip-range: 10\.1\.0\.0\/16/],
  ['network create --subnet 10.1.0.0/24 --ip-range 10.1.0.9/29 x', 2, /--ip-range/],
  ['network create --subnet 10.1.0.0/24 --aux-address p=10.2.0.9 x', 2, /--aux-address: .*10\.2\.0\.9/],
  ['network create --subnet 10.1.0.0/24 --aux-address 10.1.0.9 x', 2, /--aux-address: "10\.1\.0\.9" is not NAME=IP/],
  [
    'network create --subnet 10.1.0.0/24 --gateway 10.1.0.1 --aux-address p=10.1.0.1 x',
    2,
    /10\.1\.0\.1 is the gateway/,
  ],
  // Names.
  ['network create net', 4, /network "net" already/],
  ['network create NET', 4, /network "net" already/],
  ['network create a.b', 2, /"a\.b": a name has 1 to 63/],
  ['network create a/../b', 2, /a name has 1 to 63/],
  [['network', 'create', ''], 2, /name/],
  [['network', 'create', 'a b'], 2, /"a b": a name has/],
  [['network', 'create', 'a\nb'], 2, /"a\\nb": a name has/],
  [['network', 'create', '\u001b[31mred'], 2, /"\\u001b\[31mred": a name has/],
  [['network', 'create', '--', '-x'], 2, /"-x": a name has/],
  ['network create é', 2, /a name has/],
  [`network create ${'a'.repeat(64)}`, 2, /a name has 1 to 63/],
  ['network create bridge', 2, /predefined/],
  ['network create None', 2, /predefined/],
  ['network create 8f14e45f-ceea-467f-a8e3-0d2f1ed6b5a1', 2, /looks like an id/],
  // Options and labels.
  ['network create -o mtu=100 x', 2, /"100" is no MTU: expected 576 to/],
  ['network create -o mtu=1200 --ipv6 x', 2, /"1200" is no MTU: expected 1280 to .*IPv6/],
  ['network create -o mtu=15e2 x', 2, /"15e2" is no MTU/],
  ['network create -o mtu=70000 x', 2, /"70000" is no MTU/],
  ['network create -o frob=1 x', 2, /-o frob=1: there is no such option|no option "frob"/],
  ['network create -o mtu x', 2, /-o: "mtu" is not KEY=VALUE/],
  ['network create --label =v x', 2, /--label: "=v" has no key/],
  [['network', 'create', '--label', 'k=a\u0007b', 'x'], 2, /control characters/],
  ['network create --subnt 10.1.0.0/24 x', 2, /unknown option '--subnt' \(did you mean --subnet\?\)/],
  ['network create x y', 2, /too many arguments/],
  ['network create', 2, /missing required argument 'name'/],
  // Known, and not built.
  ['network create -d bridge x', 2, /bridge/],
  ['network create -d macvlan x', 2, /macvlan/],
  ['network create -o encrypted=true x', 2, /encrypted/],
  ['network create -o multicast=true x', 2, /multicast/],
  ['network create -o parent=eth0 x', 2, /parent/],
];

const OTHERS: readonly Case[] = [
  ['network rm nosuch', 3, /no network "nosuch"/],
  ['network inspect nosuch', 3, /no network "nosuch"/],
  ['network rm net', 4, /network net is in use by here@h1, there@h2; disconnect them first/],
  ['network rm -f net', 4, /in use by here@h1, there@h2/],
  ['network rm bridge', 2, /bridge is predefined on every host/],
  // Changing networks.
  ['network update net', 2, /nothing to change|what to change|names nothing|change nothing/],
  ['network update --label a=b nosuch', 3, /no network "nosuch"/],
  ['network update --label =v net', 2, /--label: "=v" has no key/],
  ['network update -o mtu=100 net', 2, /"100" is no MTU/],
  ['network update -o mtu=1279 dual', 2, /IPv6/],
  ['network update -o frob=1 net', 2, /-o frob=1: there is no such option|no option "frob"/],
  ['network update -o encrypted=true net', 2, /encrypted/],
  ['network update -o dns=192.0.2.53 net', 2, /dns/],
  ['network update -o dns-search=a..b net', 2, /dns-search/],
  ['network update --add-subnet 10.50.0.0/25 net', 2, /overlap|10\.50\.0\.0\/24/],
  ['network update --add-subnet 10.90.0.1/24 net', 2, /10\.90\.0\.0\/24/],
  ['network update --add-subnet 10.60.0.0/24 net', 4, /overlap.*network tiny.*there/],
  ['network update --grow 10.50.0.0/25 net', 2, /10\.50\.0\.0/],
  ['network update --grow 10.99.0.0/16 net', 2, /10\.99\.0\.0\/16/],
  ['network update --shrink 10.50.0.0/29 net', 4, /10\.50\.0\.10 \(here@h1\)/],
  ['network update --rm-subnet 10.80.0.0/24 narrow', 2, /at least one|last/],
  ['network update --rm-subnet 10.99.0.0/24 net', 2, /10\.99\.0\.0\/24/],
  ['network update --gateway 10.50.0.9 net', 4, /10\.50\.0\.1 is the default route/],
  ['network update --aux-address p=10.50.0.10 net', 4, /10\.50\.0\.10/],
  ['network update --subnet 10.1.0.0/24 net', 2, /--subnet: say --add-subnet, --grow, --shrink or --rm-subnet/],
  ['network prune --filter frob=1 -f', 2, /frob/],
  ['network prune --filter until=soon -f', 2, /until/],
  ['network ls --filter frob=1', 2, /frob/],
  ['network ls --filter dangling=maybe', 2, /dangling/],
  ['service ls', 2, /unknown command 'service'/],
  // Connecting and disconnecting.
  ['network connect nosuch here', 3, /no network "nosuch"/],
  ['network connect net nosuch', 3, /no sandbox nosuch/],
  ['network connect net there', 3, /no sandbox there/],
  ['network connect net here', 4, /here is connected to network net already/],
  ['network connect NET here', 4, /here .*is connected to network net already/],
  ['network connect twin here', 4, /overlap 10\.50\.0\.0\/25 of network twin/],
  [
    'network connect tiny here',
    7,
    /tiny: 10\.60\.0\.0\/30 has 1 address .* all are in use; make room with: weft network update/,
  ],
  ['network connect narrow here', 7, /narrow: 10\.80\.0\.128\/31 of 10\.80\.0\.0\/24 has 2 addresses/],
  [
    'network connect tiny --ip 10.60.0.2 here',
    4,
    /10\.60\.0\.2 in network tiny is held by sandbox there on host h2; ask for another/,
  ],
  ['network connect tiny --ip 10.60.0.1 here', 2, /10\.60\.0\.1 is the gateway/],
  ['network connect tiny --ip 10.60.0.3 here', 2, /10\.60\.0\.3 is the broadcast address/],
  ['network connect tiny --ip 10.60.0.0 here', 2, /10\.60\.0\.0 is the network address/],
  ['network connect tiny --ip 10.60.0.4 here', 2, /10\.60\.0\.4 is in no subnet of network tiny/],
  ['network connect dual --ip 10.70.0.99 here', 2, /10\.70\.0\.99 is kept for printer|printer/],
  ['network connect dual --ip 10.70.0.x here', 2, /--ip: "10\.70\.0\.x" is no IPv4 address/],
  ['network connect dual --ip fd00:70::9 here', 2, /--ip: "fd00:70::9" is no IPv4 address/],
  ['network connect dual --ip6 10.70.0.9 here', 2, /--ip6: "10\.70\.0\.9" is no IPv6 address/],
  ['network connect dual --ip6 fd00:71::9 here', 2, /fd00:71::9 is in no subnet of network dual/],
  ['network connect dual --ip6 fd00:70::1 here', 2, /fd00:70::1 is the gateway/],
  ['network connect tiny --ip6 fd00:70::9 here', 2, /fd00:70::9 is in no subnet of network tiny/],
  ['network connect dual --mac 01:00:5e:00:00:01 here', 2, /--mac/],
  ['network connect dual --mac 02:57:46:00:00:01 here', 2, /kept for/],
  ['network connect dual --mac 02:00 here', 2, /--mac/],
  ['network connect dual --alias a.b here', 2, /--alias: "a\.b": a name has/],
  ['network connect dual --label =x here', 2, /--label: "=x" has no key/],
  ['network connect dual -p 80:80 here', 2, /unknown option '-p'/],
  ['network connect dual --service web here', 2, /unknown option '--service'/],
  ['network connect host here', 2, /not built/],
  ['network disconnect dual here', 3, /here is not connected to network dual/],
  ['network disconnect nosuch here', 3, /nosuch/],
  ['network disconnect net nosuch', 3, /no sandbox nosuch/],
  // Sandboxes.
  ['sandbox create --network net here', 4, /there is a sandbox here on this host already/],
  ['sandbox create --network dual HERE', 4, /there is a sandbox here on this host already/],
  ['sandbox create --network none Here', 4, /there is a sandbox here on this host already/],
  ['sandbox create --network nosuch x', 3, /no network "nosuch"/],
  ['sandbox create --network tiny x', 7, /10\.60\.0\.0\/30 has 1 address/],
  ['sandbox create --network net --network tiny x', 7, /10\.60\.0\.0\/30 has 1 address/],
  ['sandbox create --network net --network twin x', 4, /subnets overlap/],
  ['sandbox create --network net --network net x', 2, /twice/],
  ['sandbox create --network dual --mac 02:00 x', 2, /--mac/],
  [
    'sandbox create --network net --mac 02:00:00:00:00:10 x',
    4,
    /02:00:00:00:00:10 in network net is held by sandbox here on host h1/,
  ],
  [
    'sandbox create --network net --ip 10.50.0.10 x',
    4,
    /10\.50\.0\.10 in network net is held by sandbox here on host h1/,
  ],
  ['sandbox create --network none --ip 10.50.0.11 x', 2, /--ip/],
  ['sandbox create x', 2, /bridge, which is not built yet/],
  ['sandbox create --network bridge x', 2, /not built/],
  ['sandbox create --network host x', 2, /not built/],
  ['sandbox create --network container:here x', 2, /not built/],
  ['sandbox create --network net -p 80 x', 2, /unknown option '-p'/],
  ['sandbox create --network none a/b', 2, /"a\/b": a name has/],
  [['sandbox', 'create', '--network', 'none', 'a\u001b[2Jb'], 2, /"a\\u001b\[2Jb": a name has/],
  ['sandbox create --network none ..', 2, /a name has/],
  ['sandbox rm nosuch', 3, /no sandbox nosuch/],
  ['sandbox rm there', 3, /no sandbox there/],
  ['sandbox inspect nosuch', 3, /no sandbox nosuch/],
  ['exec nosuch -- true', 3, /no sandbox nosuch/],
  ['run --network nosuch -- true', 3, /no network "nosuch"/],
  ['run --network tiny -- true', 7, /has 1 address/],
  ['run --network host -- true', 2, /not built/],
  // Reading.
  ['endpoint ls --network nosuch', 3, /no network "nosuch"/],
  ['endpoint ls --host nosuch', 3, /no host "nosuch"/],
  ['endpoint ls --address 10.50.0.0/24', 2, /no IP address/],
  ['endpoint ls --history', 2, /--history/],
  ['endpoint ls --address 10.50.0 --history', 2, /no IP address/],
  ['endpoint ls --filter state=gone', 2, /state=gone/],
  ['restore -f /nonexistent/file', 3, /\/nonexistent\/file/],
  ['restore -f /etc/hostname', 2, /backup/],
  ['backup /nonexistent/directory/file', 3, /\/nonexistent\/directory/],
  ['host drain nothing', 3, /no host "?nothing"?/],
  ['host drain', 2, /missing required argument/],
  ['host rm h1', 4, /host h1 is connected/],
  ['token create', 2, /unknown command 'token'/],
  // Whom to ask, and as whom.
  ['--timeout 0 network ls', 2, /--timeout/],
  ['--controller nonsense:99999 network ls', 2, /--controller "nonsense:99999"/],
  ['--controller 192.0.2.1:7071 network ls', 5, /192\.0\.2\.1:7071 cannot be reached/],
  ['--agent /nonexistent/agent.sock sandbox ls', 5, /start weft-agent/],
  ['--tls-dir /nonexistent network ls', 6, /no credentials: \/nonexistent\/.*--tls-dir/],
];

describe.each([
  ['network create', CREATE],
  ['every other command', OTHERS],
])('%s', (_what, cases) => {
  it.each(
    cases.map(([line, status, says]) => ({ argv: typeof line === 'string' ? line.split(' ') : line, status, says })),
  )('weft $argv exits with $status', async ({ argv, status, says }) => {
    const { code, stdout, stderr } = await lab.host('h1').exec(['weft', ...argv]);
    expect({ code, stdout, stderr }).toEqual({
      code: status,
      stdout: '',
      stderr: expect.stringMatching(says) as string,
    });
    // One line, with nothing in it that a terminal obeys.
    expect(stderr).toMatch(/^weft: \P{Cc}+\n$/u);
    expect(await everything()).toEqual(before);
  });
});

describe('weft with credentials that do not open everything', () => {
  it('may change no network as a host', async () => {
    const argv = ['weft', '--tls-dir', lab.host('h1').subdirectory('tls'), 'network'];
    const create = await lab.host('h1').exec([...argv, 'create', 'x']);
    const rm = await lab.host('h1').exec([...argv, 'rm', 'dual']);
    expect([create.code, rm.code]).toEqual([6, 6]);
    for (const { stderr } of [create, rm]) expect(stderr).toMatch(/^weft: .*host.*\n$/);
    await expectNothingChanged();
  });

  it('may do nothing at all with those of another cluster', async () => {
    // A controller that finds no etcd has made its CA and its operator's credentials before.
    const data = path.join(dir, 'other');
    const argv = ['run', '--data-dir', data, '--etcd-binary', '/nonexistent', '--metrics', 'off'];
    expect((await lab.c1.exec([program('weft-controller'), ...argv])).code).toBe(1);
    const foreign = ['weft', '--tls-dir', path.join(data, 'admin'), 'network', 'ls'];
    const { code, stderr } = await lab.host('h1').exec(foreign);
    expect({ code, stderr }).toEqual({
      code: 6,
      stderr: expect.stringMatching(/^weft: .*not of one cluster; name others with --tls-dir: [^\n]*\n$/) as string,
    });
  });
});

describe('gRPC', () => {
  /** A call, the reason it is refused with, and the fields that are named. */
  type Refused = readonly [what: string, call: () => Promise<unknown>, reason: Reason, fields?: readonly string[]];

  const createNetwork = (fields: Parameters<typeof CreateNetworkRequest.fromPartial>[0]) => () =>
    controller.ask(controller.networks.create.bind(controller.networks), CreateNetworkRequest.fromPartial(fields));
  const createEndpoint = (fields: Parameters<typeof CreateEndpointRequest.fromPartial>[0]) => () =>
    controller.ask(
      controller.endpoints.create.bind(controller.endpoints),
      CreateEndpointRequest.fromPartial({ network: 'dual', host: 'h1', sandbox: 'x', ...fields }),
    );
  const onAgent = async (call: (agent: AgentClient) => Promise<unknown>) => {
    using agent = openAgent(lab, 'h1');
    return await call(agent);
  };
  const createSandbox = (fields: Parameters<typeof CreateSandboxRequest.fromPartial>[0]) => () =>
    onAgent(({ ask, sandboxes }) =>
      ask(sandboxes.create.bind(sandboxes), CreateSandboxRequest.fromPartial({ name: 'x', ...fields })),
    );

  const TABLE: readonly Refused[] = [
    ['an empty network', createNetwork({}), 'ARGUMENT_INVALID', ['name']],
    ['an id that is none', createNetwork({ name: 'x', id: 'x' }), 'ARGUMENT_INVALID', ['id']],
    ['control characters', createNetwork({ name: 'a\u001b[2J\n' }), 'ARGUMENT_INVALID', ['name']],
    ['a name of a megabyte', createNetwork({ name: 'a'.repeat(1 << 20) }), 'ARGUMENT_INVALID', ['name']],
    ['a name in another case', createNetwork({ name: 'Net' }), 'NETWORK_NAME_TAKEN'],
    ['a driver not built', createNetwork({ name: 'x', driver: 'bridge' }), 'OPTION_NOT_BUILT', ['driver']],
    ['no such driver', createNetwork({ name: 'x', driver: 'frob' }), 'ARGUMENT_INVALID', ['driver']],
    [
      'an option not built',
      createNetwork({ name: 'x', options: { encrypted: 'true' } }),
      'OPTION_NOT_BUILT',
      ['options["encrypted"]'],
    ],
    [
      'a subnet that is none',
      createNetwork({ name: 'x', subnets: [{ cidr: 'x' }] }),
      'ARGUMENT_INVALID',
      ['subnets[0].cidr'],
    ],
    [
      'everything wrong at once',
      createNetwork({
        name: 'x',
        subnets: [
          { cidr: '10.1.0.1/24' },
          { cidr: '10.2.0.0/24', gateway: '10.3.0.1', ipRange: '10.4.0.0/25', auxAddresses: { p: '10.5.0.1' } },
          { cidr: '10.2.0.0/25' },
        ],
        options: { mtu: '1' },
        labels: { '': 'x' },
      }),
      'ARGUMENT_INVALID',
      [
        'subnets[0].cidr',
        'subnets[1].gateway',
        'subnets[1].ip_range',
        'subnets[1].aux_addresses["p"]',
        'subnets[2].cidr',
        'labels[""]',
        'options["mtu"]',
      ],
    ],
    ['no such network', createEndpoint({ network: 'nosuch' }), 'NETWORK_NOT_FOUND'],
    ['no such host', createEndpoint({ host: 'nosuch' }), 'HOST_NOT_FOUND'],
    ['an operator that names no host', createEndpoint({ host: '' }), 'ARGUMENT_INVALID', ['host']],
    ['no sandbox', createEndpoint({ sandbox: '' }), 'ARGUMENT_INVALID', ['sandbox']],
    ['a predefined network', createEndpoint({ network: 'host' }), 'OPTION_NOT_BUILT', ['network']],
    ['an address that is none', createEndpoint({ addresses: ['10.70.0.256'] }), 'ARGUMENT_INVALID', ['addresses[0]']],
    [
      'two addresses of a family',
      createEndpoint({ addresses: ['10.70.0.5', '10.70.0.6'] }),
      'ARGUMENT_INVALID',
      ['addresses[1]'],
    ],
    ['an address outside', createEndpoint({ addresses: ['10.71.0.5'] }), 'ARGUMENT_INVALID', ['addresses[0]']],
    ['the gateway', createEndpoint({ addresses: ['fd00:70::1'] }), 'ARGUMENT_INVALID', ['addresses[0]']],
    ['an address that is held', createEndpoint({ network: 'tiny', addresses: ['10.60.0.2'] }), 'ADDRESS_TAKEN'],
    ['a MAC that is held', createEndpoint({ network: 'net', mac: '02:00:00:00:00:10' }), 'MAC_TAKEN'],
    ['a full subnet', createEndpoint({ network: 'tiny' }), 'ADDRESSES_EXHAUSTED'],
    ['a sandbox connected already', createEndpoint({ network: 'net', sandbox: 'here' }), 'ALREADY_CONNECTED'],
    ['the same in another case', createEndpoint({ network: 'net', sandbox: 'Here' }), 'ALREADY_CONNECTED'],
    ['subnets that overlap', createEndpoint({ network: 'twin', sandbox: 'here' }), 'SUBNETS_OVERLAP'],
    ['another request under the same id', () => createEndpoint({ id: before.endpoints[0]?.id ?? '' })(), 'ID_TAKEN'],
    [
      'removing a network in use',
      () => controller.ask(controller.networks.delete.bind(controller.networks), { network: 'net' }),
      'NETWORK_IN_USE',
    ],
    [
      'removing no endpoint',
      () => controller.ask(controller.endpoints.delete.bind(controller.endpoints), { id: newNetworkId() }),
      'ENDPOINT_NOT_FOUND',
    ],
    [
      'a page token that is none',
      () =>
        controller.ask(controller.networks.list.bind(controller.networks), {
          ...{ pageSize: 0, pageToken: '\u0000', minRevision: 0n, filters: [] },
        }),
      'ARGUMENT_INVALID',
      ['page_token'],
    ],
    [
      'a revision to come',
      () =>
        controller.ask(controller.networks.get.bind(controller.networks), { network: 'net', minRevision: 1n << 40n }),
      'REVISION_AHEAD',
    ],
    [
      'a revision that is none',
      () => controller.ask(controller.networks.get.bind(controller.networks), { network: 'net', minRevision: -1n }),
      'ARGUMENT_INVALID',
      ['min_revision'],
    ],
    ['a sandbox without a name', createSandbox({ name: '' }), 'ARGUMENT_INVALID', ['name']],
    ['a sandbox out of its directory', createSandbox({ name: '../../etc/x' }), 'ARGUMENT_INVALID', ['name']],
    [
      'a sandbox with everything wrong',
      createSandbox({ name: '\u0007', attachments: [{ network: '', addresses: ['x'], mac: 'x', aliases: ['a b'] }] }),
      'ARGUMENT_INVALID',
      [
        'name',
        'attachments[0].network',
        'attachments[0].aliases[0]',
        'attachments[0].addresses[0]',
        'attachments[0].mac',
      ],
    ],
    ['a sandbox that is there', createSandbox({ name: 'here' }), 'SANDBOX_EXISTS'],
    ['a sandbox on the host’s network', createSandbox({ attachments: [{ network: 'host' }] }), 'OPTION_NOT_BUILT'],
    ['a sandbox in a full subnet', createSandbox({ attachments: [{ network: 'tiny' }] }), 'ADDRESSES_EXHAUSTED'],
    [
      'a label with control characters',
      createSandbox({ attachments: [{ network: 'net', labels: { k: 'a\u0007' } }] }),
      'ARGUMENT_INVALID',
    ],
    [
      'a sandbox that is not',
      () => onAgent(({ ask, sandboxes }) => ask(sandboxes.delete.bind(sandboxes), { name: 'nosuch', wait: false })),
      'SANDBOX_NOT_FOUND',
    ],
  ];

  it.each(TABLE.map(([what, call, reason, fields]) => ({ what, call, reason, fields })))(
    'refuses $what',
    async (refused) => {
      const { call, reason, fields } = refused;
      const error: unknown = await call().then(
        () => undefined,
        (refusal: unknown) => refusal,
      );
      if (!(error instanceof WeftError)) throw new Error(`not refused: ${String(error)}`);
      // Its cause is gRPC's own error: the code there is what any other client sees.
      const { code } = error.cause as ServiceError;
      expect([error.reason, codes[code]]).toEqual([reason, REASONS[reason]]);
      expect(error.message).toMatch(/^\P{Cc}{10,2000}$/u);
      if (fields !== undefined) expect(new Set(error.violations.map(({ field }) => field))).toEqual(new Set(fields));
      await expectNothingChanged();
    },
  );

  it('lets a host speak for itself alone', async () => {
    await using host = await ControllerClient.open(lab, lab.host('h1').subdirectory('tls'));
    const foreign = before.endpoints.find(({ sandbox }) => sandbox === there.name)?.id ?? '';
    const calls = [
      host.ask(host.networks.create.bind(host.networks), CreateNetworkRequest.fromPartial({ name: 'x' })),
      host.ask(host.networks.delete.bind(host.networks), { network: 'dual' }),
      host.ask(host.endpoints.delete.bind(host.endpoints), { id: foreign }),
      host.ask(
        host.endpoints.create.bind(host.endpoints),
        CreateEndpointRequest.fromPartial({ network: 'dual', host: 'h2', sandbox: 'x' }),
      ),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ reason: 'NOT_ALLOWED' });
    await expect(
      host.ask(
        host.endpoints.create.bind(host.endpoints),
        CreateEndpointRequest.fromPartial({ network: 'dual', sandbox: 'x', session: 'an older one' }),
      ),
    ).rejects.toMatchObject({ reason: 'SESSION_STALE' });
    await expectNothingChanged();
  });
});

describe('after all of it', () => {
  it('nothing has changed, down to the last key and kernel object', async () => {
    expect(await everything()).toEqual(before);
  });
});
