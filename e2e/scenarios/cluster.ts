/** What scenarios say to a cluster, in `weft`'s own words, and what they read from it. */
import type { Lab } from '../lab/lab.js';
import type { Outcome } from '../lab/process.js';

/** The fields of a network that scenarios look at; INTERFACE: proto3's JSON of `weft.v1.Network`. */
export interface NetworkJson {
  readonly id: string;
  readonly name: string;
  readonly vni: number;
  readonly subnets: readonly { readonly cidr: string; readonly gateway: string }[];
}

export interface EndpointJson {
  readonly id: string;
  readonly networkId: string;
  readonly sandbox: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly state: string;
}

/** A sandbox and the host it is on. */
export interface Box {
  readonly host: string;
  readonly name: string;
}

/** A lab's cluster, spoken to from h1 where it does not matter. */
export class Cluster {
  readonly #netns = new Map<string, string>();

  constructor(readonly lab: Lab) {}

  async createNetwork(name: string, ...options: readonly string[]): Promise<NetworkJson> {
    return (await this.lab.weft('h1', ['network', 'create', ...options, name])) as NetworkJson;
  }

  async network(name: string): Promise<NetworkJson> {
    return (await this.lab.weft('h1', ['network', 'inspect', name])) as NetworkJson;
  }

  /** Makes a sandbox on these networks; returns when every host concerned knows of it. */
  async createSandbox({ host, name }: Box, networks: readonly string[], ...options: readonly string[]): Promise<void> {
    const on = networks.flatMap((network) => ['--network', network]);
    await this.lab.weft(host, ['sandbox', 'create', ...on, ...options, '--wait', name]);
  }

  async endpoints(...filters: readonly string[]): Promise<readonly EndpointJson[]> {
    const { endpoints } = (await this.lab.weft('h1', ['endpoint', 'ls', ...filters])) as { endpoints: EndpointJson[] };
    return endpoints;
  }

  /** The address of a sandbox in a network. */
  async addressOf(sandbox: string, network: string, family: 4 | 6 = 4): Promise<string> {
    const addresses = (await this.addressesOf(network)).get(sandbox) ?? [];
    return ofFamily(addresses, family) ?? fail(`${sandbox} has no IPv${String(family)} address in ${network}`);
  }

  /** The addresses of every sandbox in a network. */
  async addressesOf(network: string): Promise<ReadonlyMap<string, readonly string[]>> {
    return new Map((await this.endpoints('--network', network)).map(({ sandbox, addresses }) => [sandbox, addresses]));
  }

  /** Runs a program in a sandbox, as `weft exec` does. */
  async exec({ host, name }: Box, argv: readonly string[], timeoutMs = 30_000): Promise<Outcome> {
    return this.lab.host(host).exec(['weft', 'exec', name, '--', ...argv], { timeoutMs });
  }

  /** Sends pings from inside the sandbox, one each `gapMs`, and counts what came back. */
  async ping(from: Box, target: string, { count = 3, gapMs = 20 } = {}): Promise<{ sent: number; received: number }> {
    // The way in is nsenter's, not `weft exec`: of hundreds of pings, the start of as many CLIs would be most of the time.
    const inside = ['nsenter', `--net=${await this.#netnsOf(from)}`, '--'];
    const argv = ['ping', '-n', '-q', '-c', String(count), '-i', String(gapMs / 1000), '-W', '1', target];
    const timeoutMs = 30_000 + count * gapMs;
    const { stdout, stderr } = await this.lab.host(from.host).exec([...inside, ...argv], { timeoutMs });
    const figures = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
    if (figures === null) throw new Error(`ping ${target} from ${from.name}: ${stderr || stdout}`);
    return { sent: Number(figures[1]), received: Number(figures[2]) };
  }

  async #netnsOf({ host, name }: Box): Promise<string> {
    const known = this.#netns.get(name);
    if (known !== undefined) return known;
    const { netns } = (await this.lab.weft(host, ['sandbox', 'inspect', name])) as { netns: string };
    this.#netns.set(name, netns);
    return netns;
  }

  /** The addresses the C library finds for a name in a sandbox; none when it finds no such name. */
  async resolve(from: Box, name: string): Promise<readonly string[]> {
    const { code, stdout, stderr } = await this.exec(from, ['getent', 'ahosts', name]);
    if (code === 2) return [];
    if (code !== 0) throw new Error(`getent ahosts ${name} in ${from.name}: ${stderr}`);
    const addresses = stdout.split('\n').map((line) => line.split(/\s+/)[0] ?? '');
    return [...new Set(addresses.filter((address) => address !== ''))].sort();
  }
}

/** The address of this family among several. */
export function ofFamily(addresses: readonly string[], family: 4 | 6): string | undefined {
  return addresses.find((address) => address.includes(':') === (family === 6));
}

function fail(message: string): never {
  throw new Error(message);
}
