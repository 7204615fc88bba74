/**
 * A lab: several hosts and controllers on this one machine, each with namespaces of its own, joined by an underlay
 * without a way out. `weft lab`, the demo and the tests all use it; it runs the programs in bin/, as a user does.
 *
 *     await using lab = await Lab.up({ name: 'demo', hosts: 3 });
 *     await lab.weft('h1', ['network', 'create', 'backend']);
 *     await lab.host('h2').exec(['ping', '-c1', '192.0.2.1']);
 *
 * Files: `holder.ts` says what a machine is, `namespace-host.ts` runs programs on it, `daemon.ts` keeps ours running, `faults.ts`
 * breaks what runs.
 * Nothing outside the lab's namespaces and its directory is touched, and `down` needs no record to end all of it.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { pause } from '../../core/lifetime.js';
import type { Daemon, StartOptions } from './daemon.js';
import { Faults } from './faults.js';
import { hasHolders, killHolders } from './holder.js';
import { operatorCredentials, type LabController } from './lab-controller.js';
import { LabError } from './lab-error.js';
import type { LabEtcd } from './lab-etcd.js';
import type { LabHost } from './lab-host.js';
import { labDirectory, labsDirectory, MOST } from './layout.js';
import { leftoversInEtcd, leftoversOnHost } from './leftovers.js';
import { credentialsOf, findMachines, makeMachines, placesOf, type Machines } from './machines.js';
import { findNode, summaryOf, type NodeSummary } from './nodes.js';
import type { NamespaceHost } from './namespace-host.js';
import type { RunOptions } from './process.js';
import { step, type OnProgress } from './progress.js';
import { readState, updateState, writeState } from './state-file.js';

export interface LabOptions {
  readonly name: string;
  /** How many hosts; 3 where not given. */
  readonly hosts?: number;
  /** How many controllers; 1 where not given. */
  readonly controllers?: number;
  /**
   * How many etcd members; 1 where not given. One controller with one member brings it along, as everywhere; in every
   * other case the members are machines of their own.
   */
  readonly etcd?: number;
  /** Where labs are kept; WEFT_LAB_DIR or /var/lib/weft-lab where not given. */
  readonly dir?: string;
  readonly onProgress?: OnProgress;
  /** Aborting ends the lab again. */
  readonly signal?: AbortSignal;
}

/** One line of `weft lab ls`. */
export interface LabSummary {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly controllers: readonly string[];
  /** None where the controller brings its etcd along. */
  readonly etcd: readonly string[];
  /** Every machine, in the same order; none of a lab that is broken. */
  readonly nodes: readonly NodeSummary[];
  /** `broken`: half made, or left by a restart of the machine; it can only be ended. */
  readonly state: 'up' | 'broken';
}

export class Lab implements AsyncDisposable {
  readonly hosts: readonly LabHost[];
  readonly controllers: readonly LabController[];
  /** The first controller's machine. */
  readonly c1: LabController;
  /** Members of the lab's own etcd cluster; none where c1 brings its etcd along. */
  readonly etcd: readonly LabEtcd[];
  /** What can be broken, and mended. */
  readonly faults: Faults;

  private constructor(
    readonly name: string,
    /** Everything of the lab on disk. */
    readonly directory: string,
    machines: Machines,
  ) {
    const { hosts, controllers, etcd } = machines;
    this.hosts = hosts;
    this.controllers = controllers;
    this.c1 = controllers[0];
    this.etcd = etcd;
    this.faults = new Faults(name, machines);
  }

  /**
   * Makes the machines alone; no daemon runs. On failure nothing of it stays. Rejects with LabError: `invalid` name or
   * number of hosts, `exists`, `failed`.
   */
  static async create({
    name,
    hosts = 3,
    controllers = 1,
    etcd = 1,
    dir,
    onProgress,
    signal,
  }: LabOptions): Promise<Lab> {
    const directory = labDirectory(name, dir);
    checkCount('hosts', hosts);
    checkCount('controllers', controllers);
    checkCount('etcd', etcd);
    const places = placesOf({ hosts, controllers, etcd: controllers === 1 && etcd === 1 ? 0 : etcd });
    const namesOf = (kind: keyof typeof places): readonly string[] => places[kind].map((place) => place.name);
    claim(name, directory);
    try {
      writeState(directory, {
        version: 2,
        name,
        hosts: namesOf('hosts'),
        controllers: namesOf('controllers'),
        etcd: namesOf('etcd'),
        processes: {},
        complete: false,
      });
      // Leads nowhere until the controller's first start.
      symlinkSync(path.relative(directory, operatorCredentials(directory)), credentialsOf(directory));
      const never = new AbortController().signal;
      const machines = await makeMachines({ labDirectory: directory, places, onProgress, signal: signal ?? never });
      updateState(directory, (state) => ({ ...state, complete: true }));
      return new Lab(name, directory, machines);
    } catch (error) {
      return await undo(name, dir, error);
    }
  }

  /** Makes a lab and starts every daemon; returns when all hosts are ready. On failure nothing of it stays. */
  static async up(options: LabOptions): Promise<Lab> {
    const lab = await Lab.create(options);
    const { onProgress, signal } = options;
    const start: StartOptions = signal === undefined ? {} : { signal };
    try {
      if (lab.etcd.length > 0) {
        await step(onProgress, 'etcd', () => Promise.all(lab.etcd.map(({ daemon }) => daemon.start(start))));
      }
      await step(onProgress, 'controller', () => lab.controller.start(start));
      const further = lab.controllers.slice(1);
      if (further.length > 0) {
        await step(onProgress, 'further controllers', () => {
          for (const controller of further) controller.copyClusterCa(lab.c1);
          return Promise.all(further.map(({ daemon }) => daemon.start(start)));
        });
      }
      await step(onProgress, 'credentials', () => lab.issueCredentials(signal));
      await step(onProgress, 'agents', () => Promise.all(lab.hosts.map(({ agent }) => agent.start(start))));
      await step(onProgress, 'hosts ready', () => lab.waitForHosts(signal));
      return lab;
    } catch (error) {
      return await undo(options.name, options.dir, error);
    }
  }

  /** A lab that is up, whoever made it. Throws LabError `not-found`, or `failed` when it is broken. */
  static open(name: string, { dir }: { dir?: string } = {}): Lab {
    const directory = labDirectory(name, dir);
    if (!existsSync(directory)) {
      throw new LabError('not-found', `there is no lab ${name}; make it with: weft lab up --lab ${name}`);
    }
    const machines = readState(directory)?.complete === true ? findMachines(directory) : undefined;
    if (machines === undefined) {
      throw new LabError('failed', `lab ${name} is not whole; end it with: weft lab down --lab ${name}`);
    }
    return new Lab(name, directory, machines);
  }

  /** All labs of a directory, by name. */
  static list({ dir = labsDirectory() }: { dir?: string } = {}): LabSummary[] {
    const names = existsSync(dir) ? readdirSync(dir).sort() : [];
    return names.flatMap((name) => {
      const directory = path.join(dir, name);
      const recorded = readState(directory);
      if (recorded === undefined && !hasHolders(directory)) return [];
      const machines = recorded?.complete === true ? findMachines(directory) : undefined;
      const { hosts = [], controllers = [], etcd = [] } = recorded ?? {};
      const state = machines === undefined ? ('broken' as const) : ('up' as const);
      return [{ name, hosts, controllers, etcd, state, nodes: machines === undefined ? [] : summaryOf(machines) }];
    });
  }

  /**
   * Ends a lab, whole or not, made by whom ever: its machines with all that runs there, and its directory. False when
   * there was nothing of it. Rejects with LabError `timed-out` when a process does not end.
   */
  static async down(
    name: string,
    { dir, onProgress }: { dir?: string; onProgress?: OnProgress } = {},
  ): Promise<boolean> {
    const directory = labDirectory(name, dir);
    const found = existsSync(directory) || hasHolders(directory);
    if (!found) return false;
    const recorded = Object.entries(readState(directory)?.processes ?? {})
      .filter(([key]) => key.endsWith('/holder'))
      .map(([, identity]) => identity);
    await step(onProgress, 'machines', () => killHolders(directory, recorded));
    rmSync(directory, { recursive: true, force: true });
    return true;
  }

  /** `weft-controller` on c1. */
  get controller(): Daemon {
    return this.c1.daemon;
  }

  /** The operator's credentials directory. */
  get credentials(): string {
    return credentialsOf(this.directory);
  }

  /** A host by its name. Throws LabError `not-found`. */
  host(name: string): LabHost {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host !== undefined) return host;
    const names = this.hosts.map((candidate) => candidate.name).join(', ');
    throw new LabError('not-found', `lab ${this.name} has no host ${name}; it has ${names}`);
  }

  /** Any machine that can be worked on, by its name. Throws LabError `not-found`. */
  machine(name: string): NamespaceHost {
    return findNode(this.name, [...this.hosts, ...this.controllers, ...this.etcd], name);
  }

  /** Runs `weft --json ARGS` on a machine; what it printed, parsed; undefined when that was nothing. Rejects with LabError. */
  async weft(machine: string, args: readonly string[], options: RunOptions = {}): Promise<unknown> {
    const text = await this.machine(machine).must(['weft', '--json', ...args], options);
    return text.trim() === '' ? undefined : (JSON.parse(text) as unknown);
  }

  /** Signs the credentials of every host. The controller has run once. */
  async issueCredentials(signal?: AbortSignal): Promise<void> {
    await Promise.all(this.hosts.map((host) => this.c1.issueHost(host.name, host.subdirectory('tls'), signal)));
  }

  /** Returns when for every host some controller that runs calls it ready. Rejects with LabError `timed-out`. */
  async waitForHosts(signal?: AbortSignal, timeoutMs = 30_000): Promise<void> {
    const never = new AbortController().signal;
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const ready = await this.#readyHosts(signal);
      const missing = this.hosts.map(({ name }) => name).filter((name) => !ready.includes(name));
      if (missing.length === 0) return;
      if (performance.now() > deadline) {
        throw new LabError('timed-out', `not ready after ${String(timeoutMs)} ms: ${missing.join(', ')}`);
      }
      if (!(await pause(20, signal ?? never))) signal?.throwIfAborted();
    }
  }

  /** Each host's stream is with one controller, and only that one knows of it. */
  async #readyHosts(signal: AbortSignal | undefined): Promise<string[]> {
    const running = this.controllers.filter(({ daemon }) => daemon.state === 'running');
    const lists = await Promise.all(
      running.map(({ name, address }) =>
        this.weft(name, ['--controller', address, 'host', 'ls'], signal && { signal }),
      ),
    );
    return (lists as { hosts: { name: string; state: string }[] }[])
      .flatMap(({ hosts }) => hosts.filter(({ state }) => state === 'HOST_STATE_READY'))
      .map(({ name }) => name);
  }

  /** What is still there on hosts and in etcd besides the lab and its daemons: one line each, none when all is clean. */
  async leftovers(signal?: AbortSignal): Promise<string[]> {
    const onHosts = await Promise.all(this.hosts.map((host) => leftoversOnHost(host)));
    const member = this.etcd.find(({ daemon }) => daemon.state === 'running') ?? this.c1;
    return [...onHosts.flat(), ...leftoversInEtcd(await member.etcdKeys(signal))];
  }

  /** Ends the lab; see `Lab.down`. */
  async down(onProgress?: OnProgress): Promise<void> {
    await Lab.down(this.name, { dir: path.dirname(this.directory), ...(onProgress && { onProgress }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
  }
}

function checkCount(kind: keyof typeof MOST, count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= MOST[kind]) return;
  const what = kind === 'etcd' ? 'etcd members' : kind;
  throw new LabError('invalid', `--${kind} ${String(count)}: a lab has 1 to ${String(MOST[kind])} ${what}`);
}

/** Takes the directory; of two at the same time one gets it. */
function claim(name: string, directory: string): void {
  try {
    mkdirSync(path.dirname(directory), { recursive: true, mode: 0o700 });
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new LabError('exists', `lab ${name} exists; end it with: weft lab down --lab ${name}`, { cause: error });
    }
    throw new LabError('failed', `${directory} cannot be made: ${String(error)}`, { cause: error });
  }
}

/** Ends what was half made, and fails with the reason. */
async function undo(name: string, dir: string | undefined, reason: unknown): Promise<never> {
  try {
    await Lab.down(name, dir === undefined ? {} : { dir });
  } catch (error) {
    throw new AggregateError([reason, error], `lab ${name} could not be made, nor ended`);
  }
  throw reason;
}
