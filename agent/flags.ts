/** The command line of `weft-agent`. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { parseIp, type IpAddress } from '../core/address.js';
import { LOG_LEVELS, type LogLevel } from '../core/daemon/log.js';
import { VERSION } from '../core/version.js';

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

const BAD_USAGE = 2;

/** Reads `argv` (without node and script). Writes help and complaints to the process's own output. */
export function parseFlags(argv: readonly string[]): Parsed {
  let parsed: Parsed = { command: 'exit', code: BAD_USAGE };
  const program = new Command('weft-agent')
    .description('brings this host’s kernel to what the cluster wants of it')
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride();
  program
    .command('run', { isDefault: true })
    .description('run the agent in the foreground')
    .addOption(
      new Option('--controller <list>', 'controllers, HOST:PORT[,HOST:PORT...]')
        .env('WEFT_CONTROLLER')
        .makeOptionMandatory(),
    )
    .option('--tls-dir <dir>', 'credentials: ca.crt, client.crt, client.key', '/etc/weft/tls')
    .option('--state-dir <dir>', 'what must survive a reboot', '/var/lib/weft')
    .option('--run-dir <dir>', 'the socket agent.sock, and the sandboxes’ files', '/run/weft')
    .addOption(
      new Option(
        '--vtep <ip>',
        'tunnel address; default: the source of the default route, else of the way to the controller',
      ).argParser(parseVtep),
    )
    .addOption(
      new Option('--metrics <host:port>', 'where to serve /metrics, or off')
        .argParser(parseMetrics)
        .default({ host: '127.0.0.1', port: 9471 }, '127.0.0.1:9471'),
    )
    .addOption(new Option('--log-level <level>', 'how much to log').choices(LOG_LEVELS).default('info'))
    .action((flags: Omit<RunFlags, 'vtep' | 'metrics'> & { vtep?: IpAddress; metrics: MetricsAddress | 'off' }) => {
      const metrics = flags.metrics === 'off' ? undefined : flags.metrics;
      parsed = { command: 'run', flags: { ...flags, vtep: flags.vtep, metrics } };
    });
  program
    .command('enter')
    .description('become a command inside a sandbox (used by weft exec)')
    .requiredOption('--netns <path>', 'the sandbox’s namespace')
    .addOption(
      new Option('--bind <source:target>', 'show a file in another’s place (repeats)')
        .argParser(collectBinds)
        .default([], 'none'),
    )
    .argument('<command...>')
    .passThroughOptions()
    .action(([first, ...rest]: string[], flags: { netns: string; bind: EnterFlags['binds'] }) => {
      if (first === undefined) return;
      parsed = { command: 'enter', flags: { netns: flags.netns, binds: flags.bind, argv: [first, ...rest] } };
    });
  try {
    program.parse([...argv], { from: 'user' });
    return parsed;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { command: 'exit', code: error.exitCode === 0 ? 0 : BAD_USAGE };
  }
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
