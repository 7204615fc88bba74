/**
 * Which names there are, and who sees which. Pure: made from what the host knows (core/fold.ts).
 *
 * Start reading here. agent/dns answers at the gateway's address of every network of this host: `view.ts` knows the
 * names, `message.ts` the wire, `handlers/` decide (a chain: each answers or passes on), `listener.ts` and `server.ts`
 * hold the sockets. docs/design/dns.md says why it is so.
 *
 *     $ dig +short @10.1.0.1 db            # asked by a sandbox: the network asked, then its sandbox's other networks
 *     $ dig +short @10.1.0.1 db.backend    # exactly that network
 *     $ dig +short @10.1.0.1 -x 10.1.0.7   # -> db.backend.
 */
import { familyOf, ipToNumber, type Family, type IpAddress } from '../../core/address.js';
import type { HostView, NetworkView } from '../../core/fold.js';
import type { HostId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import { nameKey } from '../../core/name.js';
import { isOptionViolations, parseNetworkOptions } from '../../core/network-options.js';

/** Seconds an answer may be kept where its network says nothing else (`dns-ttl`). Short, because an address may be given to another endpoint as soon as this one is gone. */
const ANSWER_TTL_S = 5;

/** Who asks: the network whose gateway was asked, and the address the query came from. */
export interface Asker {
  readonly networkId: NetworkId;
  /** Undefined when it is no address an endpoint could have (a link-local one with its zone). */
  readonly address: IpAddress | undefined;
}

/** One network's names. Keys are `nameKey`s. */
export interface Zone {
  readonly network: Network;
  /** Seconds an answer of this network may be kept. */
  readonly ttlSeconds: number;
  /** The addresses of a name in ascending order, so that the order of an answer is chosen by its rotation alone. */
  addressesOf(key: string, family: Family): readonly IpAddress[];
  has(key: string): boolean;
  endpointAt(address: IpAddress): Endpoint | undefined;
  /** Whether the sandbox that this endpoint belongs to has an endpoint here. */
  hasSandboxOf(endpoint: Endpoint): boolean;
}

/** A zone of what is known of one network. Sorted out at the first question, because changes come in bursts and questions do not wait for them. */
function zoneOf(view: NetworkView, unreachable: ReadonlySet<HostId>): Zone {
  let sorted: ReturnType<typeof sortOut> | undefined;
  const tables = (): ReturnType<typeof sortOut> => (sorted ??= sortOut(view, unreachable));
  return {
    network: view.network,
    ttlSeconds: ttlOf(view.network),
    has: (key) => tables().names.has(key),
    addressesOf: (key, family) => (tables().names.get(key) ?? []).filter((address) => familyOf(address) === family),
    endpointAt: (address) => tables().endpoints.get(address),
    hasSandboxOf: (endpoint) => tables().sandboxes.has(sandboxKey(endpoint)),
  };
}

function ttlOf({ options }: Network): number {
  const read = parseNetworkOptions(options);
  return (isOptionViolations(read) ? undefined : read.dnsTtlSeconds) ?? ANSWER_TTL_S;
}

function sortOut(view: NetworkView, unreachable: ReadonlySet<HostId>) {
  const sets = new Map<string, Set<IpAddress>>();
  const endpoints = new Map<IpAddress, Endpoint>();
  const sandboxes = new Set<string>();
  for (const endpoint of view.endpoints.values()) {
    // One that is being removed still asks, and holds its address; but nobody is to be sent to it any more.
    for (const address of endpoint.addresses) endpoints.set(address, endpoint);
    sandboxes.add(sandboxKey(endpoint));
    if (endpoint.state === 'removing') continue;
    for (const key of new Set([endpoint.name, ...endpoint.aliases].map(nameKey))) {
      const set = sets.get(key) ?? new Set();
      // Its name stays, without an address while nobody hears from its host: it is not to be asked for anywhere else.
      sets.set(key, set);
      if (unreachable.has(endpoint.hostId)) continue;
      for (const address of endpoint.addresses) set.add(address);
    }
  }
  const names = new Map([...sets].map(([key, set]) => [key, [...set].sort(byNumber)]));
  return { names, endpoints, sandboxes };
}

const sandboxKey = (endpoint: Endpoint): string => `${endpoint.hostId}/${endpoint.sandbox}`;

function byNumber(a: IpAddress, b: IpAddress): number {
  const difference = ipToNumber(a) - ipToNumber(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** What names are made of. */
export interface NamesOptions {
  /** Peers that the cluster does not hear from: nobody is sent to their endpoints. */
  readonly unreachable?: ReadonlySet<HostId>;
  readonly previous?: Names;
}

interface HeldZone {
  readonly view: NetworkView;
  /** Peers of the network that were left out, in order. */
  readonly without: string;
  readonly zone: Zone;
}

/** Every name of every network of this host. */
export class Names {
  readonly #zones = new Map<NetworkId, HeldZone>();

  /** Takes over from `previous` what did not change: `fold` keeps the identity of networks it did not touch. */
  constructor(view: HostView, { unreachable = new Set(), previous }: NamesOptions = {}) {
    const inOrder = [...view].sort(([, a], [, b]) => (nameKey(a.network.name) < nameKey(b.network.name) ? -1 : 1));
    for (const [id, networkView] of inOrder) {
      const held = previous === undefined ? undefined : previous.#zones.get(id);
      const without = [...unreachable]
        .filter((host) => networkView.peers.has(host))
        .sort()
        .join();
      const isSame = held?.view === networkView && held.without === without;
      this.#zones.set(id, isSame ? held : { view: networkView, without, zone: zoneOf(networkView, unreachable) });
    }
  }

  /**
   * The zones an asker sees: the network it asked, then, by name, the other networks of its sandbox. An address that no
   * endpoint has sees the asked network only. None when that network is unknown here.
   */
  seenBy({ networkId, address }: Asker): readonly Zone[] {
    const asked = this.#zones.get(networkId)?.zone;
    if (asked === undefined) return [];
    const endpoint = address === undefined ? undefined : asked.endpointAt(address);
    if (endpoint === undefined) return [asked];
    const others = [...this.#zones.values()].map(({ zone }) => zone);
    return [asked, ...others.filter((zone) => zone !== asked && zone.hasSandboxOf(endpoint))];
  }
}
