/** For tests: commands about networks with everything that a test does not care for filled in, and who carries them out. */
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../../core/address.js';
import { WeftError } from '../../core/errors.js';
import { newEndpointId, newHostId, newNetworkId, type NetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { isOptionViolations, parseNetworkOptions } from '../../core/network-options.js';
import type { Brain } from '../testing.js';
import { createEndpoint, deleteEndpoint, releaseEndpoint } from './endpoint.js';
import { registerHost } from './host.js';
import { createNetwork, deleteNetwork, type CreateNetwork, type SubnetWish } from './network.js';
import { updateNetwork, type UpdateNetwork } from './network-update.js';
import { parsePool, type SubnetPool } from './subnet-pool.js';

const options = { requestId: 'r', signal: new AbortController().signal };

/** A subnet as asked for: `wish('10.1.0.0/24', { gateway: '10.1.0.9' })`. */
export function wish(
  cidr: string,
  fields: {
    readonly gateway?: string;
    readonly ipRange?: string;
    readonly aux?: Readonly<Record<string, string>>;
  } = {},
): SubnetWish {
  const { gateway, ipRange, aux = {} } = fields;
  return {
    cidr: readCidr(cidr),
    gateway: gateway === undefined ? undefined : readIp(gateway),
    ipRange: ipRange === undefined ? undefined : readCidr(ipRange),
    auxAddresses: Object.fromEntries(Object.entries(aux).map(([name, text]) => [name, readIp(text)])),
  };
}

export function readIp(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

export function readCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`${text} is no subnet`);
  return cidr;
}

export function readPools(...texts: string[]): readonly SubnetPool[] {
  return texts.map((text) => {
    const pool = parsePool(text);
    if (typeof pool === 'string') throw new Error(pool);
    return pool;
  });
}

/** One controller's decisions, in words that fit on a line. Everything rejects with WeftError. */
export class Operator {
  readonly #brain: Brain;
  readonly #pools: readonly SubnetPool[];

  constructor(brain: Brain, pools: readonly SubnetPool[] = readPools('10.128.0.0/22/24', 'fd00::/48/64')) {
    this.#brain = brain;
    this.#pools = pools;
  }

  async create(fields: Partial<CreateNetwork> = {}): Promise<Network> {
    const command: CreateNetwork = {
      ...{ id: newNetworkId(), name: `n-${newNetworkId().slice(0, 8)}`, driver: 'overlay', subnets: [], ipv6: false },
      ...{ internal: false, mtu: undefined, labels: {}, options: {} },
      ...fields,
    };
    return (await this.#brain.committer.run((context) => createNetwork(context, command, this.#pools), options)).result;
  }

  async update(
    id: NetworkId,
    fields: Partial<Omit<UpdateNetwork, 'options'>> & { readonly options?: Readonly<Record<string, string>> },
  ): Promise<Network> {
    const { options: given, ...rest } = fields;
    const read = parseNetworkOptions(given ?? {});
    if (isOptionViolations(read)) throw new Error(JSON.stringify(read));
    const command: UpdateNetwork = {
      ...{ id, labels: undefined, subnets: undefined, ifRevision: undefined },
      options: given === undefined ? undefined : { given, mtu: read.mtu },
      ...rest,
    };
    return (await this.#brain.committer.run((context) => updateNetwork(context, command), options)).result;
  }

  async remove(id: NetworkId): Promise<void> {
    await this.#brain.committer.run((context) => deleteNetwork(context, id), options);
  }

  async host(number: number, prefixes: readonly string[] = []): Promise<Host> {
    const command = {
      ...{ id: newHostId(), name: `h${String(number)}`, vtep: readIp(`192.0.2.${String(number)}`), version: '1' },
      prefixes: prefixes.map(readCidr),
    };
    return (await this.#brain.committer.run((context) => registerHost(context, command), options)).result;
  }

  async attach(
    on: NetworkId,
    host: Host,
    fields: { readonly sandbox?: string; readonly addresses?: readonly string[] } = {},
  ): Promise<Endpoint> {
    const command = {
      ...{ id: newEndpointId(), networkId: on, hostId: host.id, sandbox: fields.sandbox ?? 'web', aliases: [] },
      ...{ addresses: (fields.addresses ?? []).map(readIp), mac: undefined, labels: {} },
    };
    return (await this.#brain.committer.run((context) => createEndpoint(context, command), options)).result;
  }

  /** Takes an endpoint away, as its host would confirm it. */
  async detach({ id, hostId }: Endpoint): Promise<void> {
    const { committer } = this.#brain;
    await committer.run((context) => deleteEndpoint(context, { id, hostId: undefined }), options);
    await committer.run((context) => releaseEndpoint(context, { id, hostId }), options);
  }
}

/** What a promise was refused with; it fails where it was not. */
export async function refusalOf(work: Promise<unknown>): Promise<WeftError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof WeftError) return error;
    throw error;
  }
  throw new Error('it was taken');
}
