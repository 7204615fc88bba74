/** Forwarding entries and neighbours a second by our netlink, beside iproute2's batches of the same entries. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ipFromNumber, type IpAddress } from '../core/address.js';
import { macFromBytes, type Mac } from '../core/mac.js';
import { createNetns, deleteNetns, removeNetnsDirectory } from '../agent/kernel/namespace.js';
import { fdbPut } from '../agent/kernel/netlink/fdb.js';
import { NetlinkHandle } from '../agent/kernel/netlink/handle.js';
import { bridgeAdd, linkSet, vxlanAdd } from '../agent/kernel/netlink/link.js';
import type { Request } from '../agent/kernel/netlink/message.js';
import { neighbourPut } from '../agent/kernel/netlink/neighbour.js';
import type { Bench, BenchResult } from './bench.js';
import { median, medianRatio } from './statistics.js';

/** Remote endpoints; each has a forwarding entry in the bridge and one in the VXLAN device, and a neighbour. */
const ENDPOINTS = 20_000;
const ROUNDS = 9;
const VTEPS = 100;

interface Endpoint {
  readonly mac: Mac;
  readonly ip: IpAddress;
  readonly vtep: IpAddress;
}

/** One way of putting the same entries: seconds it took, as seen from outside. */
interface Contender {
  /** Puts both forwarding entries of every endpoint. */
  fdb(netns: string): void;
  /** Puts the neighbour of every endpoint. */
  neighbours(netns: string): void;
}

export const netlink: Bench = {
  name: 'netlink',
  about: `${String(ENDPOINTS)} remote endpoints into a network, beside bridge -batch and ip -batch`,
  run: (say) => Promise.resolve(run(say)),
};

function run(say: (text: string) => void): BenchResult {
  const directory = mkdtempSync(join(tmpdir(), 'weft-bench-netlink-'));
  try {
    const endpoints = Array.from({ length: ENDPOINTS }, (_, index) => endpoint(index));
    const ours = weft(endpoints);
    const peer = iproute2(endpoints);
    const fdb: [number, number][] = [];
    const neighbours: [number, number][] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // Who goes first alternates, so that a machine that slows down favours neither.
      const order = round % 2 === 0 ? [ours, peer] : [peer, ours];
      const figures = new Map(order.map((contender) => [contender, measure(directory, contender)]));
      const [mine, theirs] = [figures.get(ours), figures.get(peer)];
      if (mine === undefined || theirs === undefined) throw new Error('a contender was not measured');
      fdb.push([mine.fdb, theirs.fdb]);
      neighbours.push([mine.neighbours, theirs.neighbours]);
      say(
        `round ${String(round + 1)}: fdb ${thousands(mine.fdb)}/s, bridge -batch ${thousands(theirs.fdb)}/s; ` +
          `neighbours ${thousands(mine.neighbours)}/s, ip -batch ${thousands(theirs.neighbours)}/s`,
      );
    }
    return {
      name: netlink.name,
      metrics: {
        fdbPerSecond: median(fdb.map(([mine]) => mine)),
        bridgeBatchPerSecond: median(fdb.map(([, theirs]) => theirs)),
        neighboursPerSecond: median(neighbours.map(([mine]) => mine)),
        ipBatchPerSecond: median(neighbours.map(([, theirs]) => theirs)),
      },
      ratios: { fdbVsBridgeBatch: medianRatio(fdb), neighbourVsIpBatch: medianRatio(neighbours) },
    };
  } finally {
    removeNetnsDirectory(directory);
  }
}

function thousands(perSecond: number): string {
  return `${String(Math.round(perSecond / 1000))}k`;
}

function endpoint(index: number): Endpoint {
  return {
    mac: macFromBytes(Uint8Array.of(0x02, 0, 0, 0, index >> 8, index & 0xff)),
    ip: ipFromNumber(4, 0x0a090000n + BigInt(index)),
    vtep: ipFromNumber(4, 0xc6336400n + BigInt(1 + (index % VTEPS))),
  };
}

/** Entries a second of each kind, in a fresh namespace. */
function measure(directory: string, contender: Contender): { fdb: number; neighbours: number } {
  const netns = join(directory, 'net');
  createNetns(netns);
  try {
    prepare(netns);
    const fdb = perSecond(2 * ENDPOINTS, () => {
      contender.fdb(netns);
    });
    const neighbours = perSecond(ENDPOINTS, () => {
      contender.neighbours(netns);
    });
    verify(netns);
    return { fdb, neighbours };
  } finally {
    deleteNetns(netns);
  }
}

function perSecond(entries: number, work: () => void): number {
  const start = performance.now();
  work();
  return (entries * 1000) / (performance.now() - start);
}

function prepare(netns: string): void {
  using handle = NetlinkHandle.open({ netns });
  handle.do(bridgeAdd({ name: 'wbr', mac: macFromBytes(Uint8Array.of(0x02, 0, 0, 0, 0xff, 0x01)) }));
  const bridge = indexOf(handle, 'wbr');
  handle.do(vxlanAdd({ name: 'vx', vni: 77, local: ipFromNumber(4, 0xc0000201n), port: 4789, master: bridge }));
  handle.do(linkSet(indexOf(handle, 'vx'), { up: true }));
  handle.do(linkSet(bridge, { up: true }));
}

function indexOf(handle: NetlinkHandle, name: string): number {
  const link = handle.link(name);
  if (link === undefined) throw new Error(`there is no link ${name}`);
  return link.index;
}

/** A contender that put fewer than all would win by that. */
function verify(netns: string): void {
  using handle = NetlinkHandle.open({ netns });
  const statics = handle.fdb(indexOf(handle, 'vx')).filter(({ state }) => state === 'static').length;
  const permanents = handle.neighbours(indexOf(handle, 'wbr')).filter(({ permanent }) => permanent).length;
  if (statics !== 2 * ENDPOINTS || permanents < ENDPOINTS) {
    throw new Error(`${String(statics)} forwarding entries and ${String(permanents)} neighbours were put`);
  }
}

function weft(endpoints: readonly Endpoint[]): Contender {
  const put = (netns: string, requests: (handle: NetlinkHandle) => Request[]): void => {
    using handle = NetlinkHandle.open({ netns });
    const refused = handle.request(requests(handle)).find((result) => result !== undefined);
    if (refused !== undefined) throw refused;
  };
  return {
    fdb(netns) {
      put(netns, (handle) => {
        const index = indexOf(handle, 'vx');
        return endpoints.flatMap(({ mac, vtep }) => [
          fdbPut({ table: 'self', index, mac, dst: vtep }),
          fdbPut({ table: 'master', index, mac }),
        ]);
      });
    },
    neighbours(netns) {
      put(netns, (handle) => {
        const index = indexOf(handle, 'wbr');
        return endpoints.map(({ ip, mac }) => neighbourPut({ index, ip, mac }));
      });
    },
  };
}

function iproute2(endpoints: readonly Endpoint[]): Contender {
  // The scripts are written before the clock starts: their making is not iproute2's work.
  const fdb = endpoints
    .flatMap(({ mac, vtep }) => [
      `fdb replace ${mac} dev vx dst ${vtep} self static`,
      `fdb replace ${mac} dev vx master static`,
    ])
    .join('\n');
  const neighbours = endpoints
    .map(({ ip, mac }) => `neigh replace ${ip} lladdr ${mac} dev wbr nud permanent`)
    .join('\n');
  const batch = (netns: string, tool: string, input: string): void => {
    execFileSync('nsenter', [`--net=${netns}`, tool, '-batch', '-'], { input, timeout: 60_000 });
  };
  return {
    fdb(netns) {
      batch(netns, 'bridge', fdb);
    },
    neighbours(netns) {
      batch(netns, 'ip', neighbours);
    },
  };
}
