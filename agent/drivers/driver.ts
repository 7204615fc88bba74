/** The seam for kinds of networks: a driver says which kernel objects a network is made of on this host. Pure. */
import type { EndpointId } from '../../core/ids.js';
import type { DriverName } from '../../core/model.js';
import type { DesiredNetwork, HostFacts } from '../state/desired.js';
import { noRows, type NamespaceRows, type RowsDraft, type TableName } from '../tables/rows.js';

/** One row, by where it is. */
export interface RowRef {
  readonly namespace: string;
  readonly table: TableName;
  readonly key: string;
}

/** What a network is made of. */
export interface NetworkRows {
  /** Rows by namespace; several networks add to one sandbox's. */
  readonly namespaces: ReadonlyMap<string, NamespaceRows>;
  /** For each local endpoint, the rows without which it cannot send and receive. */
  readonly needs: ReadonlyMap<EndpointId, readonly RowRef[]>;
}

/** One kind of network. To add one: a file that implements this, and a line in main.ts. */
export interface NetworkDriver {
  readonly name: DriverName;
  /** Pure. */
  rows(network: DesiredNetwork, facts: HostFacts): NetworkRows;
}

/** Rows of several namespaces under construction. */
export class RowsBuilder {
  readonly #namespaces = new Map<string, RowsDraft>();

  /** The draft of a namespace. */
  in(namespace: string): RowsDraft {
    const known = this.#namespaces.get(namespace);
    if (known !== undefined) return known;
    const draft = noRows();
    this.#namespaces.set(namespace, draft);
    return draft;
  }

  get namespaces(): ReadonlyMap<string, NamespaceRows> {
    return this.#namespaces;
  }
}
