/** For tests: hosts as namespaces on an underlay of their own, each with a reconciler that is told the state directly. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import path from 'node:path';
import pino from 'pino';
import type { HostView } from '../../core/fold.js';
import type { Endpoint, Network } from '../../core/model.js';
import { overlayDriver } from '../drivers/overlay/overlay.js';
import { createNetns, deleteNetns, listNetns, removeNetnsDirectory } from '../kernel/namespace.js';
import { ip, runIn } from '../kernel/testing.js';
import type { HostFacts, LocalSandbox } from '../state/desired.js';
import type { Known } from '../state/settled.js';
import { LinuxKernel } from '../tables/linux-kernel.js';
import { sandboxNamespace } from '../tables/namespace-names.js';
import { Reconciler, type Input } from './reconciler.js';
import { certain, hostId, sandboxesOf, viewOf } from '../state/testing.js';

/** One host: what its reconciler is told can be replaced at will. */
export class TestHost implements Disposable {
  readonly directory: string;
  readonly facts: HostFacts;
  view: HostView | undefined;
  sandboxes: LocalSandbox[] = [];
  kernel: LinuxKernel;
  reconciler: Reconciler;

  constructor(
    readonly lab: TestLab,
    readonly number: number,
    underlay: 4 | 6,
  ) {
    const n = String(number);
    this.directory = path.join(lab.directory, `run-h${n}`);
    mkdirSync(this.directory);
    this.facts = {
      hostId: hostId(number),
      name: `h${n}`,
      number,
      vtep: ip(underlay === 4 ? `192.0.2.${n}` : `2001:db8::${n}`),
      underlayMtu: 1500,
    };
    const netns = path.join(lab.directory, `h${n}`);
    createNetns(netns);
    const u = lab.underlay;
    runIn(u, ['ip', 'link', 'add', `p${n}`, 'type', 'veth', 'peer', 'name', 'up0', 'netns', netns]);
    runIn(u, ['ip', 'link', 'set', `p${n}`, 'master', 'ub0', 'up']);
    runIn(netns, ['ip', 'address', 'add', `192.0.2.${n}/24`, 'dev', 'up0']);
    runIn(netns, ['ip', 'address', 'add', `2001:db8::${n}/64`, 'dev', 'up0', 'nodad']);
    runIn(netns, ['ip', 'link', 'set', 'up0', 'up']);
    [this.kernel, this.reconciler] = this.#agent();
  }

  #agent(): [LinuxKernel, Reconciler] {
    const kernel = new LinuxKernel({
      directory: this.directory,
      hostNetns: path.join(this.lab.directory, `h${String(this.number)}`),
    });
    const reconciler = new Reconciler({
      kernel,
      drivers: [overlayDriver],
      input: (): Input => ({ known: this.#known(), facts: this.facts, sandboxes: this.sandboxes }),
      log: pino({ level: 'silent' }),
    });
    return [kernel, reconciler];
  }

  #known(): Known | undefined {
    return this.view === undefined
      ? undefined
      : {
          view: this.view,
          revision: 1n,
          clusterId: 'c',
          epoch: 'e',
          session: 'test',
          incarnation: 1,
          unreachable: new Set(),
        };
  }

  /** As after a restart: nothing is remembered. */
  restart(): void {
    this.reconciler[Symbol.dispose]();
    this.kernel[Symbol.dispose]();
    [this.kernel, this.reconciler] = this.#agent();
  }

  /** The host's part of a state: every network with an endpoint here, and every sandbox named in it. */
  tell(networks: readonly Network[], endpoints: readonly Endpoint[]): void {
    const peers = [...this.lab.hosts.values()].map(({ facts }) => ({
      hostId: facts.hostId,
      vtep: facts.vtep,
      number: facts.number,
    }));
    this.view = viewOf(this.number, { networks, endpoints, peers });
    const before = this.sandboxes.map(({ name }) => name);
    this.sandboxes = sandboxesOf(this.number, endpoints, before);
  }

  /** The path of a sandbox's namespace. */
  sandbox(name: string): string {
    return path.join(this.directory, sandboxNamespace(name));
  }

  /** Names of Weft's namespaces that are there. */
  namespaces(): string[] {
    return this.kernel.list().map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    this.reconciler[Symbol.dispose]();
    this.kernel[Symbol.dispose]();
    for (const { path: file } of listNetns(this.directory, '')) deleteNetns(file);
    removeNetnsDirectory(this.directory);
  }
}

/** An underlay without a way out, and the hosts on it. */
export class TestLab implements Disposable {
  readonly directory = mkdtempSync('/run/weft-lab-test-');
  readonly underlay = path.join(this.directory, 'underlay');
  readonly hosts = new Map<number, TestHost>();

  constructor(hosts: number, underlay: 4 | 6 = 4) {
    try {
      createNetns(this.underlay);
      runIn(this.underlay, ['ip', 'link', 'add', 'ub0', 'type', 'bridge']);
      runIn(this.underlay, ['ip', 'link', 'set', 'ub0', 'up']);
      for (const table of ['iptables', 'ip6tables', 'arptables']) {
        runIn(this.underlay, ['sysctl', '-qw', `net.bridge.bridge-nf-call-${table}=0`]);
      }
      for (let number = 1; number <= hosts; number++) {
        this.hosts.set(number, new TestHost(this, number, underlay));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  host(number: number): TestHost {
    return certain(`host ${String(number)}`, this.hosts.get(number));
  }

  /** Tells every host, and has each make one pass. */
  settle(networks: readonly Network[], endpoints: readonly Endpoint[]): void {
    for (const host of this.hosts.values()) {
      host.tell(networks, endpoints);
      host.reconciler.pass();
    }
  }

  [Symbol.dispose](): void {
    for (const host of this.hosts.values()) host[Symbol.dispose]();
    for (const { path: file } of listNetns(this.directory, '').filter(({ mounted }) => mounted)) deleteNetns(file);
    removeNetnsDirectory(this.directory);
  }
}
