/** Desired state to rows, remembering what did not change: a network's rows are made again only when it changed. */
import type { EndpointId, NetworkId } from '../../core/ids.js';
import type { DriverName } from '../../core/model.js';
import type { NetworkDriver, NetworkRows, RowRef } from '../drivers/driver.js';
import { sandboxRows } from '../sandbox/sandbox.js';
import type { DesiredNetwork, DesiredState, HostFacts } from '../state/desired.js';
import { sandboxNamespace } from '../tables/namespace-names.js';
import { noRows, TABLE_ORDER, type NamespaceRows, type RowsDraft } from '../tables/rows.js';

/** All that this host's kernel should hold. */
export interface Compiled {
  readonly namespaces: ReadonlyMap<string, NamespaceRows>;
  /** For each local endpoint, the rows without which it cannot send and receive. */
  readonly needs: ReadonlyMap<EndpointId, readonly RowRef[]>;
}

interface CompiledNetwork {
  readonly from: DesiredNetwork;
  readonly facts: HostFacts;
  readonly rows: NetworkRows;
}

interface Merged {
  readonly parts: readonly NamespaceRows[];
  readonly rows: NamespaceRows;
}

export class Compiler {
  readonly #drivers: ReadonlyMap<DriverName, NetworkDriver>;
  readonly #base = sandboxRows();
  #networks = new Map<NetworkId, CompiledNetwork>();
  #merged = new Map<string, Merged>();

  constructor(drivers: readonly NetworkDriver[]) {
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]));
  }

  /** The rows of a state. What is the same as the last time is the very same object. */
  compile(state: DesiredState, facts: HostFacts | undefined): Compiled {
    const networks = new Map<NetworkId, CompiledNetwork>();
    const parts = new Map<string, NamespaceRows[]>();
    const needs = new Map<EndpointId, readonly RowRef[]>();
    for (const name of state.sandboxes.keys()) parts.set(sandboxNamespace(name), [this.#base]);
    for (const [id, network] of facts === undefined ? [] : state.networks) {
      const compiled = facts === undefined ? undefined : this.#network(id, network, facts);
      if (compiled === undefined) continue;
      networks.set(id, compiled);
      for (const [namespace, rows] of compiled.rows.namespaces) {
        const known = parts.get(namespace);
        if (known === undefined) parts.set(namespace, [rows]);
        else known.push(rows);
      }
      for (const [endpoint, refs] of compiled.rows.needs) needs.set(endpoint, refs);
    }
    this.#networks = networks;
    const merged = new Map([...parts].map(([namespace, list]) => [namespace, this.#merge(namespace, list)]));
    this.#merged = merged;
    return { namespaces: new Map([...merged].map(([namespace, { rows }]) => [namespace, rows])), needs };
  }

  #network(id: NetworkId, network: DesiredNetwork, facts: HostFacts): CompiledNetwork | undefined {
    const known = this.#networks.get(id);
    if (known?.facts === facts && isSame(known.from, network)) return known;
    const driver = this.#drivers.get(network.network.driver);
    return driver === undefined ? undefined : { from: network, facts, rows: driver.rows(network, facts) };
  }

  #merge(namespace: string, parts: readonly NamespaceRows[]): Merged {
    const known = this.#merged.get(namespace);
    if (known?.parts.length === parts.length && parts.every((part, at) => part === known.parts[at])) return known;
    const [only] = parts;
    return { parts, rows: parts.length === 1 && only !== undefined ? only : merge(parts) };
  }
}

/** Several networks' rows of one sandbox. Their keys differ: each has an interface of its own, and there is one default route to a family. */
function merge(parts: readonly NamespaceRows[]): NamespaceRows {
  const merged: RowsDraft = noRows();
  for (const part of parts) {
    for (const table of TABLE_ORDER) {
      const into = merged[table] as Map<string, unknown>;
      for (const [key, row] of part[table]) into.set(key, row);
    }
  }
  return merged;
}

/** Whether two states of a network are the same one: compared by identity where `fold` keeps it, else by what the rows are made of. */
function isSame(a: DesiredNetwork, b: DesiredNetwork): boolean {
  return (
    a.network === b.network &&
    a.mtu === b.mtu &&
    a.source === b.source &&
    a.locals.length === b.locals.length &&
    a.locals.every((local, at) => {
      const other = b.locals[at];
      return (
        local.endpoint === other?.endpoint &&
        local.ifname === other.ifname &&
        // The rest of an endpoint's end follows from these and the network itself.
        local.defaultGateways.join() === other.defaultGateways.join()
      );
    })
  );
}
