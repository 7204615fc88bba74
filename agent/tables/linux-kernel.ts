/** Weft's namespaces in the real kernel: files in a directory (`/run/netns`), each opened once. */
import path from 'node:path';
import type { Descriptor } from '../kernel/descriptor.js';
import { createNetns, deleteNetns, isNetns, listNetns, openNetns } from '../kernel/namespace.js';
import { NetlinkHandle } from '../kernel/netlink/handle.js';
import { Nftables } from '../kernel/nftables.js';
import { AddressesTable } from './addresses.js';
import { FdbTable } from './fdb.js';
import type { Kernel, NamespaceTables } from './kernel.js';
import { LinkIndex } from './link-index.js';
import { LinksTable } from './links.js';
import { LocalResolutionTable } from './local-resolution.js';
import { NETWORK_PREFIX, SANDBOX_PREFIX } from './namespace-names.js';
import { NeighboursTable } from './neighbours.js';
import { PortsTable } from './ports.js';
import { RoutesTable } from './routes.js';
import { SysctlsTable } from './sysctls.js';

/** Where network namespaces have their names, as `ip netns` has them. */
const NETNS_DIRECTORY = '/run/netns';

export interface LinuxKernelOptions {
  /** NETNS_DIRECTORY when absent. */
  readonly directory?: string;
  /** Path of the host's namespace; the process's own when absent. */
  readonly hostNetns?: string;
}

/** A namespace that is in use: its descriptors, and its tables. */
interface Opened {
  readonly netns: Descriptor;
  readonly tables: NamespaceTables;
  readonly resources: readonly Disposable[];
}

export class LinuxKernel implements Kernel {
  readonly #directory: string;
  readonly #host: NetlinkHandle;
  readonly #opened = new Map<string, Opened>();

  /** Throws KernelError: EPERM without CAP_NET_ADMIN. */
  constructor({ directory = NETNS_DIRECTORY, hostNetns }: LinuxKernelOptions = {}) {
    this.#directory = directory;
    this.#host = NetlinkHandle.open({ netns: hostNetns });
  }

  /** The file that names the namespace. */
  pathOf(name: string): string {
    return path.join(this.#directory, name);
  }

  list(): { readonly name: string; readonly whole: boolean }[] {
    return [NETWORK_PREFIX, SANDBOX_PREFIX]
      .flatMap((prefix) => listNetns(this.#directory, prefix))
      .map(({ name, mounted }) => ({ name, whole: mounted }));
  }

  create(name: string): void {
    this.close(name);
    if (!isNetns(this.pathOf(name))) createNetns(this.pathOf(name));
  }

  delete(name: string): void {
    this.close(name);
    deleteNetns(this.pathOf(name));
  }

  open(name: string): NamespaceTables {
    return this.#open(name).tables;
  }

  close(name: string): void {
    const opened = this.#opened.get(name);
    this.#opened.delete(name);
    for (const resource of opened?.resources ?? []) resource[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    for (const name of [...this.#opened.keys()]) this.close(name);
    this.#host[Symbol.dispose]();
  }

  #open(name: string): Opened {
    const known = this.#opened.get(name);
    if (known !== undefined) return known;
    const resources: Disposable[] = [];
    const own = <T extends Disposable>(resource: T): T => {
      resources.push(resource);
      return resource;
    };
    try {
      const netns = own(openNetns(this.pathOf(name)));
      const opened = { netns, tables: this.#tables(name, netns, own), resources };
      this.#opened.set(name, opened);
      return opened;
    } catch (error) {
      for (const resource of resources) resource[Symbol.dispose]();
      throw error;
    }
  }

  #tables(name: string, netns: Descriptor, own: <T extends Disposable>(resource: T) => T): NamespaceTables {
    const file = this.pathOf(name);
    const handle = own(NetlinkHandle.open({ netns: file }));
    const index = new LinkIndex();
    const exclusive = name.startsWith(NETWORK_PREFIX);
    const links = new LinksTable({
      handle,
      host: this.#host,
      index,
      netns,
      netnsOf: (other) => this.#open(other).netns,
      exclusive,
    });
    const common = {
      sysctls: new SysctlsTable(file),
      links,
      addresses: new AddressesTable(handle, index),
    };
    if (!exclusive) return { ...common, routes: new RoutesTable(handle, index) };
    let nft: Nftables | undefined;
    return {
      ...common,
      ports: new PortsTable(handle, index),
      neighbours: new NeighboursTable(handle, index),
      fdb: new FdbTable(handle, index),
      resolution: new LocalResolutionTable(() => (nft ??= own(Nftables.open({ netns: file })))),
    };
  }
}
