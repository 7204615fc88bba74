/** What holds for every command: its options, wherever in the line they stand, the environment behind them, exit statuses. */
import path from 'node:path';
import { Option, type Command } from 'commander';
import { EXIT, invalid, WeftError } from '../core/errors.js';

/** As typed. */
export interface GlobalOptions {
  readonly json?: boolean;
  readonly controller?: string;
  readonly agent?: string;
  readonly tlsDir?: string;
  readonly timeout?: string;
  readonly verbose?: boolean;
}

/** As they hold. */
export interface Globals {
  readonly json: boolean;
  /** `HOST:PORT[,HOST:PORT...]`. */
  readonly controllers: string;
  /** The agent's unix socket. */
  readonly agentSocket: string;
  readonly tlsDir: string;
  /** Everything that is asked of controllers and agents together may take this long. */
  readonly timeoutMs: number;
  /** Whether somebody said so, or it is the default. */
  readonly timeoutTyped: boolean;
  readonly verbose: boolean;
}

const DEFAULT_CONTROLLERS = '127.0.0.1:7070';
const DEFAULT_AGENT_SOCKET = '/run/weft/agent.sock';
const DEFAULT_TIMEOUT_SECONDS = 30;
const MAX_TIMEOUT_SECONDS = 86_400;

/** The help group of the global options. */
const GLOBAL_GROUP = 'Options of every command:';

/** The environment that is read, and what it stands in for: help and docs/cli.md print it. */
export const ENVIRONMENT: readonly (readonly [variable: string, description: string])[] = [
  ['WEFT_CONTROLLER', `controllers, as --controller (default ${DEFAULT_CONTROLLERS})`],
  ['WEFT_AGENT', `the socket of this host's agent, as --agent (default ${DEFAULT_AGENT_SOCKET})`],
  ['WEFT_TLS_DIR', 'ca.crt, client.crt and client.key, as --tls-dir (default ~/.config/weft/tls)'],
  ['WEFT_LAB_DIR', 'where labs are kept (default /var/lib/weft-lab)'],
  ['NO_COLOR', 'where set: no colours'],
];

/** The exit statuses: help and docs/cli.md print them. */
export const EXIT_MEANINGS: Readonly<Record<number, string>> = {
  0: 'done',
  [EXIT.INTERNAL]: 'failed',
  [EXIT.INVALID_ARGUMENT]: 'bad usage or argument',
  [EXIT.NOT_FOUND]: 'not found',
  [EXIT.ALREADY_EXISTS]: 'exists already, in use, or a precondition is missing',
  [EXIT.UNAVAILABLE]: 'unavailable, or out of time',
  [EXIT.PERMISSION_DENIED]: 'not allowed',
  [EXIT.RESOURCE_EXHAUSTED]: 'exhausted',
};

/** Adds the global options to a command, in a help group of their own. Each command has them: people put them last. */
export function addGlobals(command: Command): void {
  const options = [
    new Option('--json', 'print one JSON document'),
    new Option('--controller <list>', 'controllers to ask: HOST:PORT[,HOST:PORT...]'),
    new Option('--agent <socket>', "the unix socket of this host's agent"),
    new Option('--tls-dir <dir>', 'the directory of your credentials'),
    new Option('--timeout <seconds>', `give up after this long (default ${String(DEFAULT_TIMEOUT_SECONDS)})`),
    new Option('--verbose', 'say the request id, and more about errors'),
  ];
  for (const option of options) command.addOption(option.helpGroup(GLOBAL_GROUP));
  command.addHelpOption(new Option('-h, --help', 'print help').helpGroup(GLOBAL_GROUP));
}

/** What was typed for a command: the nearest to the command counts, where an option stands twice. */
export function typedGlobals(command: Command): GlobalOptions {
  let typed: GlobalOptions = {};
  for (let at: Command | null = command; at !== null; at = at.parent) typed = { ...at.opts<GlobalOptions>(), ...typed };
  return typed;
}

/** Options before environment before default; an empty variable is as good as none. Throws WeftError ARGUMENT_INVALID. */
export function resolveGlobals(
  typed: GlobalOptions,
  env: Readonly<Record<string, string | undefined>>,
  homeDir: string,
): Globals {
  const choose = (option: string | undefined, variable: string, fallback: string): string => {
    const set = env[variable];
    return option ?? (set === undefined || set === '' ? fallback : set);
  };
  return {
    json: typed.json ?? false,
    controllers: choose(typed.controller, 'WEFT_CONTROLLER', DEFAULT_CONTROLLERS),
    agentSocket: choose(typed.agent, 'WEFT_AGENT', DEFAULT_AGENT_SOCKET),
    tlsDir: choose(typed.tlsDir, 'WEFT_TLS_DIR', path.join(homeDir, '.config', 'weft', 'tls')),
    timeoutMs: typed.timeout === undefined ? DEFAULT_TIMEOUT_SECONDS * 1000 : parseTimeout(typed.timeout),
    timeoutTyped: typed.timeout !== undefined,
    verbose: typed.verbose ?? false,
  };
}

function parseTimeout(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds <= 0 || seconds > MAX_TIMEOUT_SECONDS) {
    const expected = `expected seconds, above 0 and up to ${String(MAX_TIMEOUT_SECONDS)}, not ${JSON.stringify(text)}`;
    throw new WeftError(invalid('--timeout', expected));
  }
  return Math.ceil(seconds * 1000);
}
