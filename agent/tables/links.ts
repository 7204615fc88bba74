/**
 * Links of one namespace: the bridge, the VXLAN device and the sandbox ports of a network; the near end of each veth
 * pair in a sandbox.
 *
 * A link is made bare and then set, and a link that is there is only set: so a crash between the two is no special case.
 */
import type { Descriptor } from '../kernel/descriptor.js';
import { Errno } from '../kernel/errno.js';
import { KernelError } from '../kernel/kernel-error.js';
import type { NetlinkHandle } from '../kernel/netlink/handle.js';
import { bridgeAdd, linkDel, linkSet, vethAdd, vxlanAdd, type Link, type LinkChange } from '../kernel/netlink/link.js';
import type { Request } from '../kernel/netlink/message.js';
import { dropAll, putAll } from './batch.js';
import type { LinkIndex } from './link-index.js';
import type { LinkRow, PortRow, VxlanRow } from './rows.js';
import type { Drop, Put, RowResult, Table } from './table.js';

/** What the links of a namespace are made with. */
export interface LinksOptions {
  /** In the namespace. */
  readonly handle: NetlinkHandle;
  /** In the host's namespace: where VXLAN devices are asked for, so that their sockets are there. */
  readonly host: NetlinkHandle;
  readonly index: LinkIndex;
  /** The namespace itself, to make a VXLAN device in. */
  readonly netns: Descriptor;
  /** Another namespace of Weft's by name, to make the far end of a veth pair in. Throws KernelError ENOENT. */
  readonly netnsOf: (name: string) => Descriptor;
  /** Every link but `lo` is Weft's. False in a sandbox, where others may make links too. */
  readonly exclusive: boolean;
}

export class LinksTable implements Table<LinkRow> {
  readonly #options: LinksOptions;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  list(wanted: ReadonlyMap<string, LinkRow>): Map<string, LinkRow> {
    const links = this.#options.handle.links();
    this.#options.index.replace(links);
    const rows = new Map<string, LinkRow>();
    for (const link of links) {
      const want = wanted.get(link.name);
      if (want === undefined && (!this.#options.exclusive || link.name === 'lo')) continue;
      const isSo = want !== undefined && isMade(link, want) && isDone(changeOf(link, want, this.#options.index));
      rows.set(link.name, isSo ? want : { kind: 'found' });
    }
    return rows;
  }

  same(a: LinkRow, b: LinkRow): boolean {
    return a === b || JSON.stringify(a) === JSON.stringify(b);
  }

  put(rows: readonly Put<LinkRow>[]): RowResult[] {
    // Bridges first: the others become their ports.
    const order = rows.map((_, place) => place).sort((a, b) => rank(rows[a]) - rank(rows[b]));
    const results: RowResult[] = new Array<RowResult>(rows.length).fill(undefined);
    const made: { place: number; row: Put<LinkRow>; link: Link }[] = [];
    for (const place of order) {
      const row = rows[place];
      if (row === undefined) continue;
      const link = this.#make(row);
      if (link instanceof KernelError) results[place] = link;
      else made.push({ place, row, link });
    }
    const { handle, index } = this.#options;
    const set = made.filter(({ row, link }) => !isDone(changeOf(link, row.value, index)));
    putAll(handle, set, ({ row, link }) => linkSet(link.index, changeOf(link, row.value, index))).forEach(
      (result, at) => {
        const place = set[at]?.place;
        if (place !== undefined) results[place] = result;
      },
    );
    return results;
  }

  /** The link, made where it is missing and made anew where it is of another make. */
  #make({ key, value, before }: Put<LinkRow>): Link | KernelError {
    const { handle, index } = this.#options;
    // A link that nobody listed is most likely missing, so it is made unseen; EEXIST is looked into below.
    let refusal = before === undefined ? this.#add(key, value) : undefined;
    let link = handle.link(key);
    if (link !== undefined && !isMade(link, value)) {
      if (!isOurs(value)) return new KernelError(`use link ${key}`, Errno.EEXIST, 'another kind of link has its name');
      const [error] = handle.request([linkDel(link.index)]);
      if (error !== undefined) return error;
      link = undefined;
      refusal = undefined;
    }
    if (link === undefined) {
      refusal ??= this.#add(key, value);
      if (refusal !== undefined) return refusal;
      link = handle.link(key);
    }
    if (link === undefined) return new KernelError(`find link ${key}`, Errno.ENODEV);
    index.put(key, link.index);
    return link;
  }

  #add(name: string, row: LinkRow): KernelError | undefined {
    try {
      const add = this.#addRequest(name, row);
      return add === undefined ? undefined : add.through.request([add.request])[0];
    } catch (error) {
      if (error instanceof KernelError) return error;
      throw error;
    }
  }

  #addRequest(name: string, row: LinkRow): { through: NetlinkHandle; request: Request } | undefined {
    const { handle, host, index, netns, netnsOf } = this.#options;
    switch (row.kind) {
      case 'bridge':
        return { through: handle, request: bridgeAdd({ name, mac: row.mac }) };
      case 'vxlan':
        return { through: host, request: vxlanRequest(name, row, index.need(row.master), netns.fd) };
      case 'port': {
        const { name: peerName, mac, netns: peerNetns } = row.peer;
        const peer = { name: peerName, mac, mtu: row.mtu, netnsFd: netnsOf(peerNetns).fd };
        return { through: handle, request: vethAdd({ name, mtu: row.mtu, master: index.need(row.master), peer }) };
      }
      case 'peer':
      case 'loopback':
      case 'found':
        return undefined;
    }
  }

  drop(rows: readonly Drop<LinkRow>[]): RowResult[] {
    const { handle, index } = this.#options;
    const own = rows.filter(({ value }) => isOurs(value));
    const results = new Map(dropAll(handle, own, ({ key }) => linkDel(index.need(key))).map((r, at) => [own[at], r]));
    return rows.map((row) => {
      const error = results.get(row);
      if (error === undefined) index.drop(row.key);
      return error;
    });
  }
}

function vxlanRequest(name: string, { vni, local, port, mtu }: VxlanRow, master: number, netnsFd: number): Request {
  return vxlanAdd({ name, vni, local, port, mtu, master, netnsFd });
}

/** A port says by its alias where its other end was put, which the kernel itself does not tell. */
function aliasOf({ peer }: PortRow): string {
  return `${peer.netns} ${peer.name}`;
}

function rank(row: Put<LinkRow> | undefined): number {
  return row?.value.kind === 'bridge' ? 0 : 1;
}

/** Whether the link is made and deleted here: a peer goes with its port, and `lo` with its namespace. */
function isOurs(row: LinkRow): boolean {
  return row.kind !== 'peer' && row.kind !== 'loopback';
}

/** Whether the link is what the row says in everything that cannot be changed of a link that exists. */
function isMade(link: Link, row: LinkRow): boolean {
  switch (row.kind) {
    case 'bridge':
      return link.bridge?.stp === false && !link.bridge.mcastSnooping;
    case 'vxlan': {
      const { vxlan } = link;
      return vxlan?.vni === row.vni && vxlan.local === row.local && vxlan.port === row.port && !vxlan.learning;
    }
    case 'port':
      // Without an alias: made, and then interrupted.
      return link.kind === 'veth' && link.peerElsewhere && (link.alias ?? aliasOf(row)) === aliasOf(row);
    case 'peer':
      return link.kind === 'veth';
    case 'loopback':
      return link.name === 'lo';
    case 'found':
      return true;
  }
}

/** What has to be set of a link so that it is as the row says. */
function changeOf(link: Link, row: LinkRow, index: LinkIndex): LinkChange {
  const up = link.up ? {} : { up: true };
  if (row.kind === 'found') return {};
  if (row.kind === 'loopback') return up;
  const mtu = link.mtu === row.mtu ? {} : { mtu: row.mtu };
  const mac = 'mac' in row && link.mac !== row.mac ? { mac: row.mac } : {};
  if (row.kind === 'peer') return { ...up, ...mtu, ...mac };
  // Weft's own links have no link-local address: nothing on the host is to be spoken to from a sandbox but the gateway.
  const addrGenMode = link.addrGenMode === 'none' ? {} : { addrGenMode: 'none' as const };
  if (row.kind === 'bridge') return { ...up, ...mtu, ...mac, ...addrGenMode };
  const bridge = index.find(row.master);
  const master = link.master === bridge ? {} : { master: bridge };
  const alias = row.kind === 'vxlan' || link.alias === aliasOf(row) ? {} : { alias: aliasOf(row) };
  return { ...up, ...mtu, ...master, ...alias, ...addrGenMode };
}

function isDone(change: LinkChange): boolean {
  return Object.keys(change).length === 0;
}
