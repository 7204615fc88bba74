/** What a host says it runs, since before a restore, taken into the restored state. */
import type { IpAddress } from '../../core/address.js';
import type { Logger } from '../../core/daemon/log.js';
import { WeftError } from '../../core/errors.js';
import type { NetworkId } from '../../core/ids.js';
import type { Endpoint, Host, Network } from '../../core/model.js';
import { WireError } from '../../proto/codec.js';
import type { Declaration } from '../../proto/gen/weft/v1/agent_sync.js';
import type { Cache } from '../cache/cache.js';
import type { Commits, Outcome } from '../commit/commit.js';
import { adoptEndpoint, adoptNetwork, endpointsGone, type Evidence } from '../domain/adopt.js';
import type { Context, Decision } from '../domain/decision.js';
import { deleteEndpoint, releaseEndpoint } from '../domain/endpoint.js';
import { updateHost } from '../domain/host.js';
import type { Meta } from '../meta.js';
import { readDeclaredEndpoint, readDeclaredNetwork } from './validate-declared.js';

/** Commits that are under way at once. */
const AT_ONCE = 64;

export interface DeclarationOptions {
  readonly cache: Cache;
  readonly committer: Commits;
  readonly host: Host;
  /** The epoch that the host followed until now. */
  readonly before: string;
  readonly meta: Pick<Meta, 'epoch' | 'formerEpochs' | 'backup' | 'metaRevision'>;
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/**
 * Takes over what the state lacks, lets go what the host does not have any more, and notes that the host has declared
 * itself. What cannot be taken over is logged, and left out. Throws what stands against all of it: the store does not
 * answer, or it was restored again.
 */
export async function takeDeclaration(declaration: Declaration, options: DeclarationOptions): Promise<void> {
  const { cache, committer, host, before, meta, log, ...run } = options;
  const { epoch } = meta;
  const networks = readEach(declaration.networks, readDeclaredNetwork, log);
  const endpoints = readEach(declaration.endpoints, readDeclaredEndpoint, log).filter(
    ({ hostId }) => hostId === host.id,
  );
  const commit = <Result>(rule: (context: Context) => Decision<Result>, more = {}): Promise<Outcome<Result>> =>
    committer.run(rule, { ...run, ...more });

  let refused = 0;
  const tryEach = <T extends { readonly id: string }>(
    what: string,
    items: readonly T[],
    rule: (context: Context, item: T) => Decision<unknown>,
    more = {},
  ): Promise<void> =>
    forEach(items, async (item) => {
      try {
        await commit((context) => rule(context, item), more);
      } catch (error) {
        if (!(error instanceof WeftError) || error.status === 'UNAVAILABLE') throw error;
        refused += 1;
        log.warn({ host: host.name, [what]: item.id, reason: error.reason, refusal: error.message }, 'not taken over');
      }
    });

  const addresses = addressesByNetwork(endpoints);
  const evidence = ({ id }: Network): Evidence => ({
    ...{ addresses: addresses.get(id) ?? [], epoch: before },
    ...{ backup: meta.backup, formerEpochs: meta.formerEpochs, restoredAt: meta.metaRevision },
  });
  const adopt = (context: Context, network: Network) => adoptNetwork(context, network, evidence(network));
  await tryEach('networkId', networks, adopt, { requestId: `declared-${epoch}` });
  // One that is named runs, whatever else is wrong with what is said of it.
  const named = new Set(declaration.endpoints.map(({ id }) => id));
  const gone = endpointsGone(cache.view, host.id, named);
  await forEach(gone, async ({ id }) => {
    await commit((context) => deleteEndpoint(context, { id, hostId: host.id }));
    await commit((context) => releaseEndpoint(context, { id, hostId: host.id }));
  });
  await tryEach('endpointId', endpoints, adoptEndpoint);
  await commit((context) => updateHost(context, { id: host.id, declaredEpoch: epoch }));
  const counts = { networks: networks.length, endpoints: endpoints.length, gone: gone.length, refused };
  log.info({ host: host.name, ...counts }, 'host has said what it runs');
}

function addressesByNetwork(endpoints: readonly Endpoint[]): ReadonlyMap<NetworkId, readonly IpAddress[]> {
  const found = new Map<NetworkId, IpAddress[]>();
  for (const { networkId, addresses } of endpoints) {
    const list = found.get(networkId);
    if (list === undefined) found.set(networkId, [...addresses]);
    else list.push(...addresses);
  }
  return found;
}

/** What is sound of it: one thing that is not must not cost a host all others. */
function readEach<Message extends { readonly id: string }, Model>(
  messages: readonly Message[],
  decode: (message: Message) => Model,
  log: Logger,
): readonly Model[] {
  return messages.flatMap((message) => {
    try {
      return [decode(message)];
    } catch (error) {
      if (!(error instanceof WireError || error instanceof WeftError)) throw error;
      const field = error instanceof WireError ? error.field : error.violations[0]?.field;
      log.warn(
        { field, id: message.id.slice(0, 64), err: error },
        'a declared thing is none that could have been made',
      );
      return [];
    }
  });
}

async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
}
