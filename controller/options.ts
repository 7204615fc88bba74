/** The command line of weft-controller, read and checked. */
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { InvalidArgumentError, Option, type Command, type OutputConfiguration } from 'commander';
import { addExamples, BAD_USAGE, daemonProgram, parseDaemonLine } from '../core/daemon/command-line.js';
import { LOG_LEVELS, type LogLevel } from '../core/daemon/log.js';
import { NAME_RULE, isName } from '../core/name.js';
import { DEFAULT_CONTROLLER_PORT } from '../proto/channel.js';
import { parsePool, type SubnetPool } from './domain/subnet-pool.js';
import { DEFAULT_HISTORY_RECORDS, DEFAULT_SETTINGS, type Settings } from './domain/settings.js';
import type { Role } from './identity/principal.js';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Files of the credentials for an external etcd. */
export interface ExternalEtcd {
  readonly endpoints: readonly string[];
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface RunOptions {
  readonly command: 'run';
  readonly dataDir: string;
  readonly listen: HostPort;
  /** Where others reach it; undefined: what `listen` and the machine say. */
  readonly advertise: HostPort | undefined;
  readonly name: string;
  /** Undefined: an etcd of the controller's own. */
  readonly etcd: ExternalEtcd | undefined;
  readonly etcdBinary: string | undefined;
  /** Of the embedded etcd. */
  readonly etcdQuotaBytes: number;
  /** Empty: the defaults. */
  readonly pools: readonly SubnetPool[];
  readonly settings: Settings;
  readonly historyRecords: number;
  readonly hostGraceMs: number;
  readonly metrics: HostPort | undefined;
  readonly logLevel: LogLevel;
}

export interface IssueOptions {
  readonly command: 'issue';
  readonly dataDir: string;
  readonly role: Exclude<Role, 'controller'>;
  readonly name: string;
  readonly out: string;
}

const HOUR_MS = 60 * 60 * 1_000;

const DATA_DIR = '/var/lib/weft-controller';

/** What a command line asks for; or the exit status of one that asks for nothing more (help, version, a mistake).
 * What there is to say goes to stdout and stderr, or to `output`. */
export function parseOptions(
  argv: readonly string[],
  output: OutputConfiguration = {},
): RunOptions | IssueOptions | number {
  let result: RunOptions | IssueOptions | undefined;
  const daemon = daemonProgram(
    {
      name: 'weft-controller',
      description: 'Keeps the state of a Weft cluster, and tells every host what concerns it.',
      run: 'run one controller, until SIGTERM or SIGINT (what is done without a command)',
    },
    output,
  );
  const { program, run } = daemon;

  run
    .option('--data-dir <dir>', 'where keys, credentials and the embedded etcd live', DATA_DIR)
    .addOption(
      new Option('--listen <host:port>', 'where agents and clients connect')
        .argParser(hostPort)
        .default({ host: '::', port: DEFAULT_CONTROLLER_PORT }, `[::]:${String(DEFAULT_CONTROLLER_PORT)}`),
    )
    .addOption(new Option('--advertise <host:port>', 'where the other controllers reach this one').argParser(hostPort))
    .option('--name <name>', "this controller's name", name, defaultName())
    .option('--etcd-endpoints <urls>', 'use this etcd (https://host:port[,...]) instead of an embedded one', urls)
    .option('--etcd-ca <file>', "the CA of etcd's certificates")
    .option('--etcd-cert <file>', "this controller's certificate for etcd")
    .option('--etcd-key <file>', 'and its key')
    .option('--etcd-binary <path>', 'the etcd to embed (default: etcd, from PATH)')
    .addOption(
      new Option('--etcd-quota <MiB>', 'how large the embedded etcd may grow')
        .argParser((text) => wholeNumber(text, 16, 8_192))
        .default(4_096),
    )
    .addOption(
      new Option('--pool <cidr/size>', 'where automatic subnets come from (repeats)')
        .argParser(pool)
        .default([], '10.128.0.0/9/24, and a /48 of fd00::/8 cut into /64'),
    )
    .addOption(
      new Option('--quarantine <seconds>', 'how long an address rests before it is chosen again')
        .argParser((text) => wholeNumber(text, 0, 86_400))
        .default(DEFAULT_SETTINGS.quarantineMs / 1_000),
    )
    .addOption(
      new Option('--history <hours>', 'how long it is remembered who held an address')
        .argParser((text) => wholeNumber(text, 0, 8_784))
        .default(DEFAULT_SETTINGS.historyMs / HOUR_MS),
    )
    .addOption(
      new Option('--history-records <n>', 'and of how many holders at most')
        .argParser((text) => wholeNumber(text, 0, 10_000_000))
        .default(DEFAULT_HISTORY_RECORDS),
    )
    .addOption(
      new Option('--endpoints-per-network <n>', 'most endpoints of one network')
        .argParser((text) => wholeNumber(text, 1, 1_000_000))
        .default(DEFAULT_SETTINGS.endpointsPerNetwork),
    )
    .addOption(
      new Option('--endpoints-per-host <n>', 'most endpoints of one host')
        .argParser((text) => wholeNumber(text, 1, 1_000_000))
        .default(DEFAULT_SETTINGS.endpointsPerHost),
    )
    .addOption(
      new Option('--host-grace <seconds>', 'how long a host that is gone may come back to all that it had')
        .argParser((text) => wholeNumber(text, 1, 2_592_000))
        .default(300),
    )
    .addOption(
      new Option('--metrics <host:port|off>', 'where /metrics is served')
        .argParser(hostPortOrOff)
        .default({ host: '127.0.0.1', port: 9470 }, '127.0.0.1:9470'),
    )
    .addOption(new Option('--log-level <level>', 'how much is logged').choices(LOG_LEVELS).default('info'))
    .action((flags: RunFlags, command: Command) => {
      result = toRunOptions(flags, command);
    });
  addExamples(program, [
    ['weft-controller --listen 0.0.0.0:7070', 'with an etcd of its own, in the data directory'],
    [
      'weft-controller --etcd-endpoints https://e1:2379,https://e2:2379,https://e3:2379 \\\n' +
        '      --etcd-ca ca.crt --etcd-cert client.crt --etcd-key client.key',
      'with an etcd that is there',
    ],
    ['weft-controller --pool 10.64.0.0/10/24 --quarantine 300', 'automatic subnets from elsewhere; longer rests'],
    ['weft-controller issue --role host --name h1 --out h1-tls', 'credentials for one more host'],
  ]);

  const issue = program
    .command('issue')
    .description('sign a directory of credentials (ca.crt, client.crt, client.key), without a running controller')
    .helpOption('-h, --help', 'print help')
    .addOption(new Option('--role <role>', 'what its owner is').choices(['host', 'admin']).makeOptionMandatory())
    .requiredOption('--name <name>', "its owner's name; of a host, the host's name in the cluster", name)
    .requiredOption('--out <dir>', 'where to write it; made if it is not there')
    .option('--data-dir <dir>', "the controller's", DATA_DIR)
    .action((flags: Omit<IssueOptions, 'command'>) => {
      result = { command: 'issue', ...flags };
    });

  addExamples(issue, [
    ['weft-controller issue --role host --name h1 --out h1-tls', 'for a host: its agent reads them from /etc/weft/tls'],
    ['weft-controller issue --role admin --name ann --out ann-tls', 'for an operator: weft --tls-dir ann-tls'],
  ]);

  return parseDaemonLine(daemon, argv, output) ?? result ?? BAD_USAGE;
}

interface RunFlags {
  readonly dataDir: string;
  readonly listen: HostPort;
  readonly advertise?: HostPort;
  readonly name: string;
  readonly etcdEndpoints?: readonly string[];
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdBinary?: string;
  readonly etcdQuota: number;
  readonly pool: readonly SubnetPool[];
  readonly quarantine: number;
  readonly history: number;
  readonly historyRecords: number;
  readonly endpointsPerNetwork: number;
  readonly endpointsPerHost: number;
  readonly hostGrace: number;
  readonly metrics: HostPort | 'off';
  readonly logLevel: LogLevel;
}

function toRunOptions(flags: RunFlags, command: Command): RunOptions {
  const { dataDir, listen, name: ownName, etcdBinary, pool: pools, metrics, logLevel } = flags;
  const { quarantine, history, historyRecords, endpointsPerNetwork, endpointsPerHost } = flags;
  const { etcdEndpoints, etcdCa, etcdCert, etcdKey } = flags;
  const files = [etcdCa, etcdCert, etcdKey];
  let etcd: ExternalEtcd | undefined;
  if (etcdEndpoints !== undefined) {
    if (etcdCa === undefined || etcdCert === undefined || etcdKey === undefined) {
      return command.error(
        'error: --etcd-endpoints needs --etcd-ca, --etcd-cert and --etcd-key: Weft speaks to etcd over TLS only',
      );
    }
    etcd = { endpoints: etcdEndpoints, caFile: etcdCa, certFile: etcdCert, keyFile: etcdKey };
  } else if (files.some((file) => file !== undefined)) {
    return command.error('error: --etcd-ca, --etcd-cert and --etcd-key go with --etcd-endpoints');
  }
  return {
    ...{
      command: 'run',
      dataDir,
      listen,
      advertise: flags.advertise,
      name: ownName,
      etcd,
      etcdBinary,
      pools,
      logLevel,
    },
    settings: {
      ...{ quarantineMs: quarantine * 1_000, historyMs: history * HOUR_MS },
      ...{ endpointsPerNetwork, endpointsPerHost },
    },
    historyRecords,
    hostGraceMs: flags.hostGrace * 1_000,
    etcdQuotaBytes: flags.etcdQuota * 1024 ** 2,
    metrics: metrics === 'off' ? undefined : metrics,
  };
}

/** `HOST:PORT`, an IPv6 address in brackets. Throws what commander prints. */
function hostPort(text: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  const bracketed = match?.[1] !== undefined;
  if (host === undefined || port > 65_535 || (bracketed && isIP(host) !== 6)) {
    throw new InvalidArgumentError('expected HOST:PORT, as in 192.0.2.1:7070 or [::]:7070');
  }
  return { host, port };
}

function hostPortOrOff(text: string): HostPort | 'off' {
  return text === 'off' ? 'off' : hostPort(text);
}

function name(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError(NAME_RULE);
  return text;
}

function wholeNumber(text: string, min: number, max: number): number {
  const number = /^\d{1,8}$/.test(text) ? Number(text) : NaN;
  if (!(number >= min && number <= max)) {
    throw new InvalidArgumentError(`expected a whole number from ${String(min)} to ${String(max)}`);
  }
  return number;
}

function urls(text: string): readonly string[] {
  const list = text.split(',');
  if (list.some((each) => !/^https:\/\/[^/]+:\d+$/.test(each))) {
    throw new InvalidArgumentError('expected https://HOST:PORT[,...]: Weft speaks to etcd over TLS only');
  }
  return list;
}

function pool(text: string, before: readonly SubnetPool[]): readonly SubnetPool[] {
  const parsed = parsePool(text);
  if (typeof parsed === 'string') throw new InvalidArgumentError(parsed);
  return [...before, parsed];
}

/** The machine's name, as far as it can be one here: its first label. */
function defaultName(): string {
  const label = hostname().split('.')[0] ?? '';
  return isName(label) ? label : 'controller';
}
