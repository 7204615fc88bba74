/** The command line of `weft-agent`. */
import { InvalidArgumentError, Option, type OutputConfiguration } from 'commander';
import { parseIp, type IpAddress } from '../core/address.js';
import { addExamples, BAD_USAGE, daemonProgram, parseDaemonLine } from '../core/daemon/command-line.js';
import { LOG_LEVELS, type LogLevel } from '../core/daemon/log.js';

/** Where the metrics page is served; undefined: nowhere. */
export type MetricsAddress = { readonly host: string; readonly port: number } | undefined;

/** `weft-agent run`. */
export interface RunFlags {
  readonly controller: string;
  readonly tlsDir: string;
  readonly stateDir: string;
  readonly runDir: string;
  /** Undefined: found out from the host's routes. */
  readonly vtep: IpAddress | undefined;
  readonly metrics: MetricsAddress;
  readonly logLevel: LogLevel;
}

/** `weft-agent enter`. */
export interface EnterFlags {
  readonly netns: string;
  readonly binds: readonly { readonly source: string; readonly target: string }[];
  readonly argv: readonly [string, ...string[]];
}

/** What a command line asks for. `exit`: it was answered or refused already (help, version, bad usage). */
export type Parsed =
  | { readonly command: 'run'; readonly flags: RunFlags }
  | { readonly command: 'enter'; readonly flags: EnterFlags }
  | { readonly command: 'exit'; readonly code: number };

/** As commander hands them over. */
type TypedFlags = Omit<RunFlags, 'controller' | 'vtep' | 'metrics'> & {
  readonly controller?: string;
  readonly vtep?: IpAddress;
  readonly metrics: MetricsAddress | 'off';
};

/** Reads `argv` (without node and script). Help and complaints go to stdout and stderr, or to `output`. */
export function parseFlags(argv: readonly string[], output: OutputConfiguration = {}): Parsed {
  let parsed: Parsed = { command: 'exit', code: BAD_USAGE };
  const daemon = daemonProgram(
    {
      name: 'weft-agent',
      description: 'Brings this host’s kernel to what the cluster wants of it.',
      run: 'run the agent in the foreground, until SIGTERM or SIGINT (what is done without a command)',
    },
    output,
  );
  const { program, run } = daemon;
  run
    .addOption(
      new Option('--controller <list>', 'controllers, HOST:PORT[,HOST:PORT...]; needed').env('WEFT_CONTROLLER'),
    )
    .option('--tls-dir <dir>', 'credentials: ca.crt, client.crt, client.key', '/etc/weft/tls')
    .option('--state-dir <dir>', 'what must survive a reboot', '/var/lib/weft')
    .option('--run-dir <dir>', 'the socket agent.sock, and the sandboxes’ files', '/run/weft')
    .addOption(
      new Option(
        '--vtep <ip>',
        'this host’s tunnel address (default: the source of the default route, else of the way to the controller)',
      ).argParser(parseVtep),
    )
    .addOption(
      new Option('--metrics <host:port>', 'where /metrics is served, or off')
        .argParser(parseMetrics)
        .default({ host: '127.0.0.1', port: 9471 }, '127.0.0.1:9471'),
    )
    .addOption(new Option('--log-level <level>', 'how much is logged').choices(LOG_LEVELS).default('info'))
    .action((flags: TypedFlags) => {
      const { controller } = flags;
      // Not left to commander, which would say so also where it was only mistyped.
      if (controller === undefined || controller === '') {
        return run.error('name the controllers with --controller HOST:PORT[,HOST:PORT...], or set WEFT_CONTROLLER');
      }
      const metrics = flags.metrics === 'off' ? undefined : flags.metrics;
      parsed = { command: 'run', flags: { ...flags, controller, vtep: flags.vtep, metrics } };
      return undefined;
    });
  addExamples(program, [
    ['weft-agent --controller 192.0.2.10:7070', 'with the credentials in /etc/weft/tls'],
    ['weft-agent --controller 192.0.2.10:7070 --vtep 198.51.100.7', 'tunnels from this address of the host'],
    [
      'weft-agent --controller 192.0.2.10:7070,192.0.2.11:7070 --metrics off',
      'any of several controllers; no metrics page',
    ],
  ]);
  program
    .command('enter')
    .description('become a command inside a sandbox (what weft exec does)')
    .helpOption('-h, --help', 'print help')
    .requiredOption('--netns <path>', 'the sandbox’s namespace')
    .addOption(
      new Option('--bind <source:target>', 'show a file in another’s place (repeats)')
        .argParser(collectBinds)
        .default([], 'none'),
    )
    .argument('<command...>', 'the program and its arguments')
    .passThroughOptions()
    .action(([first, ...rest]: string[], flags: { netns: string; bind: EnterFlags['binds'] }) => {
      if (first === undefined) return;
      parsed = { command: 'enter', flags: { netns: flags.netns, binds: flags.bind, argv: [first, ...rest] } };
    });
  const code = parseDaemonLine(daemon, argv, output);
  return code === undefined ? parsed : { command: 'exit', code };
}

function parseVtep(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === undefined) throw new InvalidArgumentError('expected an IPv4 or IPv6 address');
  return ip;
}

function parseMetrics(text: string): MetricsAddress | 'off' {
  if (text === 'off') return 'off';
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) throw new InvalidArgumentError('expected HOST:PORT, or off');
  return { host, port };
}

function collectBinds(text: string, before: EnterFlags['binds']): EnterFlags['binds'] {
  const at = text.indexOf(':');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('expected SOURCE:TARGET');
  return [...before, { source: text.slice(0, at), target: text.slice(at + 1) }];
}
