/** The machines of a lab, each with its kind and its daemon: what `lab ls` shows, and what `lab fault` is done to. */
import type { Daemon, DaemonState } from './daemon.js';
import { LabError } from './lab-error.js';
import type { Machines } from './machines.js';
import type { NamespaceHost } from './namespace-host.js';

type NodeKind = 'host' | 'controller' | 'etcd';

export interface Node {
  readonly name: string;
  readonly kind: NodeKind;
  readonly machine: NamespaceHost;
  /** The agent, the controller, or the etcd member that runs there. */
  readonly daemon: Daemon;
}

/** Hosts, controllers, etcd members, in this order. */
export function nodesOf({ hosts, controllers, etcd }: Machines): readonly Node[] {
  return [
    ...hosts.map((machine) => ({ name: machine.name, kind: 'host' as const, machine, daemon: machine.agent })),
    ...controllers.map((machine) => ({
      ...{ name: machine.name, kind: 'controller' as const, machine, daemon: machine.daemon },
    })),
    ...etcd.map((machine) => ({ name: machine.name, kind: 'etcd' as const, machine, daemon: machine.daemon })),
  ];
}

/** A machine of a lab and what runs there, as another process is told. */
export interface NodeSummary {
  readonly name: string;
  readonly kind: NodeKind;
  readonly address: string;
  readonly daemon: DaemonState;
}

export function summaryOf(machines: Machines): NodeSummary[] {
  return nodesOf(machines).map(({ machine, kind, daemon }) => ({
    ...{ name: machine.name, kind, address: machine.place.ipv4, daemon: daemon.state },
  }));
}

/** One of them by its name. Throws LabError `not-found`, with the names there are. */
export function findNode<T extends { readonly name: string }>(lab: string, all: readonly T[], name: string): T {
  const found = all.find((candidate) => candidate.name === name);
  if (found !== undefined) return found;
  const names = all.map((candidate) => candidate.name).join(', ');
  throw new LabError('not-found', `lab ${lab} has no node ${name}; it has ${names}`);
}
