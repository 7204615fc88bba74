import { describe, expect, it } from 'vitest';
import { runCommand } from './run-command.js';
import { testSurroundings } from './surroundings.testing.js';

const USAGE = 2;
const NOT_FOUND = 3;
const UNAVAILABLE = 5;
const NOT_ALLOWED = 6;

/** A line as typed, the exit status, and what the one line on stderr says. Nothing of it reaches a network. */
const TABLE: readonly (readonly [line: string, status: number, says: RegExp])[] = [
  // What does not exist, or does not exist yet.
  ['netwrok ls', USAGE, /unknown command 'netwrok' \(did you mean network\?\); see weft --help/],
  ['network lss', USAGE, /unknown command 'lss' \(did you mean ls\?\); see weft network --help/],
  ['network help', USAGE, /unknown command 'help'/],
  ['service ls', USAGE, /unknown command 'service'/],
  ['token create', USAGE, /unknown command 'token'/],
  ['up', USAGE, /unknown command 'up'/],
  ['join a b', USAGE, /unknown command 'join'/],
  ['events', USAGE, /--since/],
  ['audit', USAGE, /unknown command 'audit'/],
  ['host drain', USAGE, /missing required argument/],
  ['network create --subnt 10.1.0.0/24 web', USAGE, /unknown option '--subnt' \(did you mean --subnet\?\)/],
  ['network connect -p 80 web shop', USAGE, /unknown option '-p'/],
  ['network connect --service s web shop', USAGE, /unknown option '--service'/],
  ['--frob network ls', USAGE, /unknown option '--frob'/],
  ['network create -d bridge web', USAGE, /-d bridge is not built yet; there is overlay/],
  ['network create -d macvlan web', USAGE, /-d macvlan is not built yet/],
  ['network create -d overlya web', USAGE, /-d: no driver is called "overlya"; there is overlay/],
  ['network create -o encrypted=true web', USAGE, /-o encrypted: option encrypted is not built yet/],
  ['network create -o multicast=true web', USAGE, /-o multicast: option multicast is not built yet/],
  ['sandbox create shop', USAGE, /bridge, which is not built yet: name a network with --network/],
  ['run -- true', USAGE, /--network none for nothing but loopback/],
  ['sandbox create --network bridge shop', USAGE, /attaching to bridge is not built yet/],
  ['sandbox create --network host shop', USAGE, /attaching to host is not built yet/],
  ['sandbox create --network container:x shop', USAGE, /--network container:x is not built yet/],
  ['network connect bridge shop', USAGE, /bridge is not built yet/],
  ['network create -o mtus=1400 web', USAGE, /-o mtus: there is no option "mtus"; there are mtu, dns-search/],
  ['network create -o mtu=12 web', USAGE, /-o mtu: "12" is no MTU/],
  ['network create -o dns-ttl=1d web', USAGE, /-o dns-ttl: "1d" is no TTL/],
  // What cannot change, and what is meant differently.
  ['network update --driver bridge web', USAGE, /--driver: cannot change .* by its driver; make another network/],
  ['network update -d bridge web', USAGE, /--driver: cannot change/],
  ['network update --internal web', USAGE, /--internal: cannot change .* got their routes by it/],
  ['network update --name db web', USAGE, /--name: cannot change .* answer to NAME\.NETWORK/],
  ['network update --vni 7 web', USAGE, /--vni: cannot change/],
  ['network update --subnet 10.1.0.0/24 web', USAGE, /--subnet: say --add-subnet, --grow, --shrink or --rm-subnet/],
  ['network update --ipv6 web', USAGE, /--ipv6: say --add-subnet/],
  ['network update web', USAGE, /nothing to change: say what/],
  ['network update --label a=b --label-rm a web', USAGE, /--label-rm: "a" is set by --label in the same line; say one/],
  ['network update -o mtu=1400 --option-rm mtu web', USAGE, /--option-rm: "mtu" is set by -o in the same line/],
  ['network update --label x=y', USAGE, /missing required argument 'network'/],
  ['network update --grow 10.1.0.9/16 web', USAGE, /--grow: .*the subnet is 10\.1\.0\.0\/16/],
  ['network update --label =x web', USAGE, /--label: "=x" has no key/],
  ['network update -o encrypted=true web', USAGE, /-o encrypted: option encrypted is not built yet/],
  // Nobody there to ask.
  ['network prune', USAGE, /-f: there is no terminal to ask on whether you are sure; say -f if you are/],
  ['network prune -f --filter name=web', USAGE, /"name=web": there is no such filter; there are label=.*until=24h\n/],
  ['network ls --filter colour=red', USAGE, /there are name=PART, id=PREFIX, .*, type=custom\n/],
  ['network ls --filter name', USAGE, /--filter: "name": there is no such filter/],
  ['endpoint ls -f colour=red', USAGE, /there are label=KEY.*, state=ready\n/],
  ['network ls --filter type=volume', USAGE, /--filter: "type=volume": expected type=custom or type=builtin/],
  ['restore /nonexistent/file', USAGE, /-f: there is no terminal to ask on/],
  ['restore -f /nonexistent/file', NOT_FOUND, /\/nonexistent\/file: ENOENT: no such file or directory/],
  ['restore -f /dev/null', USAGE, /\/dev\/null is no regular file/],
  ['restore -f /tmp', USAGE, /\/tmp is a directory; name the backup in it/],
  ['restore -f -', USAGE, /- cannot be read from stdin: a backup is read twice; name a file/],
  ['restore -f /proc/self/cmdline', USAGE, /the file cannot be restored: /],
  ['backup', USAGE, /missing required argument 'file'/],
  ['backup --json -', USAGE, /cannot both be on stdout/],
  // What is missing, or too much.
  ['network create', USAGE, /missing required argument 'name'/],
  ['network rm', USAGE, /missing required argument 'network'/],
  ['network ls extra', USAGE, /too many arguments/],
  ['network create a b', USAGE, /too many arguments/],
  ['network create web --subnet', USAGE, /option '--subnet <cidr>' argument missing/],
  [
    'exec -it shop -- sh',
    USAGE,
    /unknown option '-it'; the program has this terminal without it; see weft exec --help/,
  ],
  ['exec shop', USAGE, /missing required argument 'cmd'/],
  ['exec shop --', USAGE, /expected a program to run/],
  ['exec shop -x ls', USAGE, /-x stands where the program is expected/],
  ['run --network web --', USAGE, /missing required argument 'cmd'/],
  ['exec --json shop -- ls', USAGE, /stdout belongs to the program/],
  ['run --json --network web -- ls', USAGE, /stdout belongs to the program/],
  ['completion tcsh', USAGE, /Allowed choices are bash/],
  // Values.
  ['network create ../etc', USAGE, /NAME: "\.\.\/etc": a name has 1 to 63/],
  ['network create none', USAGE, /predefined network/],
  ['network create Host', USAGE, /predefined network/],
  ['network create --subnet 10.1.0.9/24 web', USAGE, /--subnet: .*the subnet is 10\.1\.0\.0\/24/],
  ['network create --subnet 10.1.0.0/24 --gateway 10.2.0.1 web', USAGE, /--gateway: 10\.2\.0\.1 is in none/],
  ['network create --label =x web', USAGE, /--label: "=x" has no key/],
  ['network create -o mtu web', USAGE, /-o: "mtu" is not KEY=VALUE/],
  ['network connect --ip 10.1.0 web shop', USAGE, /--ip: "10\.1\.0" is no IPv4 address/],
  ['network connect --ip fd00::1 web shop', USAGE, /--ip: "fd00::1" is no IPv4 address/],
  ['network connect --ip6 10.1.0.1 web shop', USAGE, /--ip6: "10\.1\.0\.1" is no IPv6 address/],
  ['network connect --mac 01:00:5e:00:00:01 web shop', USAGE, /--mac: .* no unicast MAC/],
  ['network connect --mac 02:00 web shop', USAGE, /--mac: .* no unicast MAC/],
  ['network connect --alias a.b web shop', USAGE, /--alias: "a\.b": a name has/],
  ['sandbox create --network none shop/x', USAGE, /NAME: "shop\/x": a name has/],
  ['sandbox create --network none --network web shop', USAGE, /none stands alone/],
  ['sandbox create --network web --network web shop', USAGE, /web stands twice/],
  ['sandbox create --network a --network b --ip 10.1.0.9 --alias x shop', USAGE, /--ip, --alias: .*exactly one/],
  ['sandbox create --network none --mac 02:00:00:00:00:01 shop', USAGE, /--mac: .*exactly one --network/],
  ['run --name a.b --network none -- true', USAGE, /--name: "a\.b": a name has/],
  ['endpoint ls --history', USAGE, /--history: is that of one address: name it with --address/],
  ['endpoint ls --address 10.1.0.2 --history -q', USAGE, /--history: goes with --address and --network/],
  ['endpoint ls --address 10.1.0.2 --history --host h1', USAGE, /--history: goes with --address and --network/],
  ['endpoint ls --address 10.1.0.0/24', USAGE, /--address: "10\.1\.0\.0\/24" is no IP address/],
  ['--timeout 0 network ls', USAGE, /--timeout: expected seconds/],
  ['--controller a:99999 network ls', USAGE, /--controller "a:99999": expected HOST:PORT/],
  // Nobody there.
  ['network ls', NOT_ALLOWED, /no credentials: \/nonexistent\/.*--tls-dir or WEFT_TLS_DIR/],
  ['--agent /nonexistent/a.sock sandbox ls', UNAVAILABLE, /connect ENOENT \/nonexistent\/a\.sock; start weft-agent/],
];

describe('bad input', () => {
  it.each(TABLE)('weft %s', async (line, status, says) => {
    const { surroundings, written, ran } = testSurroundings();
    const exitCode = await runCommand(line.split(' '), surroundings);
    expect(written.stderr).toMatch(says);
    expect(written.stderr).toMatch(/^weft: [^\n]+\n$/);
    expect({ exitCode, stdout: written.stdout, ran }).toEqual({ exitCode: status, stdout: '', ran: [] });
  });

  it.each([
    [['backup', ''], /FILE is empty: name a file, or - for stdout/],
    [['restore', '-f', ''], /FILE is empty: name the backup to restore/],
  ])('%j', async (argv, says) => {
    const { surroundings, written } = testSurroundings();
    expect(await runCommand(argv, surroundings)).toBe(USAGE);
    expect(written.stderr).toMatch(says);
  });

  it('an empty name of a network', async () => {
    const { surroundings, written } = testSurroundings();
    expect(await runCommand(['sandbox', 'create', '--network', '', 'shop'], surroundings)).toBe(USAGE);
    expect(written.stderr).toMatch(/--network: expected the name/);
  });

  it.each([[[]], [['network']], [['lab']]])('no verb: %j prints the help', async (argv: string[]) => {
    const { surroundings, written } = testSurroundings();
    expect(await runCommand(argv, surroundings)).toBe(USAGE);
    expect(written.stderr).toContain('Usage: weft');
    expect(written.stderr).not.toContain('(outputHelp)');
  });
});

describe('help', () => {
  it.each([['--help'], ['network --help'], ['network create -h'], ['exec --help']])('weft %s', async (line) => {
    const { surroundings, written } = testSurroundings();
    expect(await runCommand(line.split(' '), surroundings)).toBe(0);
    expect(written.stdout).toMatch(/^Usage: weft/);
    expect(written.stdout).toContain('--json');
    expect(written.stderr).toBe('');
  });

  it('lists exit statuses and the environment', async () => {
    const { surroundings, written } = testSurroundings();
    await runCommand(['--help'], surroundings);
    for (const word of ['WEFT_CONTROLLER', 'WEFT_AGENT', 'WEFT_TLS_DIR', '  7  exhausted']) {
      expect(written.stdout).toContain(word);
    }
  });

  it('has the version', async () => {
    const { surroundings, written } = testSurroundings();
    expect(await runCommand(['--version'], surroundings)).toBe(0);
    expect(written.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
