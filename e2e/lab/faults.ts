/**
 * Breaking a lab, and mending it: daemons that die or hang, machines that do not reach each other. What is broken stays
 * so until it is mended, whoever did it; `down` ends a lab in any state.
 */
import type { DaemonState } from './daemon.js';
import { LabError } from './lab-error.js';
import type { Machines } from './machines.js';
import type { NamespaceHost } from './namespace-host.js';
import { findNode, nodesOf, type Node } from './nodes.js';
import { cutScript, healAllScript, healScript, parseCuts, type Pair } from './partitions.js';

export class Faults {
  readonly #lab: string;
  readonly #nodes: readonly Node[];
  readonly #underlay: NamespaceHost;

  constructor(lab: string, machines: Machines) {
    this.#lab = lab;
    this.#nodes = nodesOf(machines);
    this.#underlay = machines.underlay;
  }

  /** SIGKILL for the daemon of a node and all that it started. Rejects with LabError `state` when it is dead. */
  async kill(name: string): Promise<DaemonState> {
    const { daemon } = this.#alive(name);
    await daemon.killAll();
    return daemon.state;
  }

  /**
   * Starts the daemon of a node, having stopped it (SIGTERM) where it runs; returns when it does its work. An etcd
   * member does that only together with most others: while those are dead, this returns when its process is there.
   */
  async restart(name: string, signal?: AbortSignal): Promise<DaemonState> {
    const { daemon, kind } = this.#node(name);
    await daemon.stop();
    const members = this.#nodes.filter((node) => node.kind === 'etcd');
    const others = members.filter((node) => node.name !== name && node.daemon.state === 'running').length;
    const untilReady = kind !== 'etcd' || 2 * (others + 1) > members.length;
    await daemon.start({ untilReady, ...(signal && { signal }) });
    return daemon.state;
  }

  /** SIGSTOP for the daemon of a node and all that it started: connections stay, nobody answers. LabError `state` when dead. */
  async pause(name: string): Promise<DaemonState> {
    const { daemon } = this.#alive(name);
    await daemon.pause();
    return daemon.state;
  }

  /** SIGCONT. Rejects with LabError `state` when it is dead. */
  resume(name: string): DaemonState {
    const { daemon } = this.#alive(name);
    daemon.resume();
    return daemon.state;
  }

  /** Drops every packet between two nodes, both ways, where they meet: on the underlay's bridge. */
  async partition(one: string, other: string): Promise<void> {
    await this.#cut(cutScript(this.#pair(one, other)));
  }

  /** Ends the partition between two nodes, where there is one. */
  async heal(one: string, other: string): Promise<void> {
    await this.#cut(healScript(this.#pair(one, other)));
  }

  /** Ends every partition. */
  async healAll(): Promise<void> {
    await this.#cut(healAllScript());
  }

  /** Every pair of nodes that does not reach each other. */
  async partitions(): Promise<Pair[]> {
    const order = this.#nodes.map((node) => node.name);
    return parseCuts(await this.#underlay.must(['nft', '--json', 'list', 'sets', 'bridge']), order);
  }

  async #cut(script: string): Promise<void> {
    await this.#underlay.must(['nft', '-f', '-'], { input: script });
  }

  #pair(one: string, other: string): Pair {
    const pair = [this.#node(one).name, this.#node(other).name] as const;
    if (one === other) throw new LabError('invalid', `${one} and ${other}: a partition is between two nodes`);
    return pair;
  }

  #node(name: string): Node {
    return findNode(this.#lab, this.#nodes, name);
  }

  #alive(name: string): Node {
    const node = this.#node(name);
    if (node.daemon.state !== 'dead') return node;
    const message = `${node.daemon.title} is dead; start it again with: weft lab fault --lab ${this.#lab} restart ${name}`;
    throw new LabError('state', message);
  }
}
