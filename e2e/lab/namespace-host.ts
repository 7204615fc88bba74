/** A machine of a lab made of namespaces: running programs there, and looking at it from outside. */
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { attach } from './attach.js';
import { startHolder } from './holder.js';
import { LabError } from './lab-error.js';
import type { Place } from './layout.js';
import { keep, run, type Environment, type LabProcess, type Outcome, type RunOptions } from './process.js';
import { argvOf, commandOf, identify, listPids, namespaceOf, type ProcessIdentity } from './procfs.js';

/** A program on a host, by its number on the machine. */
export interface RunningProgram {
  readonly pid: number;
  readonly command: string;
  readonly argv: readonly string[];
}

export interface NamespaceHostOptions {
  readonly place: Place;
  /** Its files that last: `state`, `data`, `log`, `tls` are in there. */
  readonly directory: string;
  readonly holder: ProcessIdentity;
  /** What every program on it finds in its environment. */
  readonly environment: Environment;
}

export class NamespaceHost {
  readonly place: Place;
  readonly directory: string;
  readonly holder: ProcessIdentity;
  readonly #environment: Environment;

  /** The machine that `holder` holds. To make one, see `makeNamespaceHost`. */
  constructor({ place, directory, holder, environment }: NamespaceHostOptions) {
    this.place = place;
    this.directory = directory;
    this.holder = holder;
    this.#environment = environment;
  }

  get name(): string {
    return this.place.name;
  }

  /** One of its lasting directories, made when it is not there: `h1.file('state')`. */
  subdirectory(name: 'state' | 'data' | 'log' | 'tls'): string {
    const directory = path.join(this.directory, name);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  /** A path on this host as this process reaches it: `/run/weft/agent.sock` is another file on every host. */
  fromOutside(inside: string): string {
    return path.join(`/proc/${String(this.holder.pid)}/root`, inside);
  }

  /** Runs a program as root on this host, to its end. Its exit status is a value; rejects with LabError as `run` does. */
  async exec(argv: readonly string[], { env, ...options }: RunOptions = {}): Promise<Outcome> {
    return run(this.#enter(argv), { ...options, env: { ...this.#environment, ...env } });
  }

  /** As `exec`; its stdout. Rejects with LabError `failed`, with what it said, when its exit status is not 0. */
  async must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.exec(argv, options);
    if (code === 0) return stdout;
    throw new LabError('failed', `${this.name}: ${argv.join(' ')}: exit status ${String(code)}: ${stderr.trim()}`);
  }

  /** Runs a program with this process's own terminal and signals, from the directory of the same path; its exit status. */
  async attach(argv: readonly string[], { env, cwd }: { env?: Environment; cwd?: string } = {}): Promise<number> {
    return attach(this.#enter([], cwd), argv, { ...terminal(), ...this.#environment, ...env });
  }

  /** Starts a program that keeps running, also when this process ends; its output goes to `log/<log>.log`. */
  async spawn(
    argv: readonly string[],
    options: { readonly log: string; readonly env?: Environment; readonly signal?: AbortSignal },
  ): Promise<LabProcess> {
    const { log, env, signal } = options;
    return keep(this.#enter(argv), {
      env: { ...this.#environment, ...env },
      logFile: this.logFile(log),
      ...(signal && { signal }),
    });
  }

  logFile(name: string): string {
    return path.join(this.subdirectory('log'), `${name}.log`);
  }

  /** What runs on it, but for its holder. */
  programs(): RunningProgram[] {
    const own = namespaceOf(this.holder.pid, 'pid');
    return (
      listPids()
        .filter((pid) => pid !== this.holder.pid && own !== undefined && namespaceOf(pid, 'pid') === own)
        // What has ended and was not collected yet is no program any more.
        .filter((pid) => identify(pid) !== undefined)
        .map((pid) => ({ pid, command: commandOf(pid) ?? '', argv: argvOf(pid) }))
    );
  }

  /** Names in its /run/netns: the namespaces that were given names there. */
  namespaces(): string[] {
    try {
      return readdirSync(this.fromOutside('/run/netns'));
    } catch {
      return []; // none was ever made
    }
  }

  /** Its network devices. */
  async links(): Promise<string[]> {
    const list = JSON.parse(await this.must(['ip', '-json', 'link', 'show'])) as { ifname: string }[];
    return list.map(({ ifname }) => ifname);
  }

  #enter(argv: readonly string[], cwd?: string): string[] {
    const namespaces = ['--net', '--mount', '--uts', '--pid'];
    const where = cwd === undefined ? [] : [`--wdns=${cwd}`];
    return ['nsenter', '--target', String(this.holder.pid), ...namespaces, ...where, '--', ...argv];
  }
}

/** What a program needs to know of the terminal it is given. */
function terminal(): Environment {
  const { TERM, COLORTERM, NO_COLOR } = process.env;
  return Object.fromEntries(
    Object.entries({ TERM, COLORTERM, NO_COLOR }).filter(([, value]) => value !== undefined),
  ) as Environment;
}

/**
 * Makes a machine: its holder, a host name, an empty /run of its own (so that sockets and named namespaces are its own)
 * and the loopback device. The rest of the file system is the machine's.
 */
export async function makeNamespaceHost(
  options: Omit<NamespaceHostOptions, 'holder'>,
  signal: AbortSignal,
): Promise<NamespaceHost> {
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const host = new NamespaceHost({ ...options, holder: await startHolder(options.directory, signal) });
  await host.must(['hostname', host.name], { signal });
  await host.must(['mount', '-t', 'tmpfs', '-o', 'mode=755,size=64m', 'tmpfs', '/run'], { signal });
  await host.must(['ip', 'link', 'set', 'lo', 'up'], { signal });
  return host;
}
