/**
 * Who held an address when: its holders of now from the view, those before from what the store remembers. All pages of
 * one listing are as of one revision, so that an address that changes hands meanwhile is neither missed nor told twice.
 */
import { WeftError } from '../../core/errors.js';
import type { IpAddress } from '../../core/address.js';
import { parseNetworkId } from '../../core/ids.js';
import { nameKey } from '../../core/name.js';
import type {
  AddressHolding,
  ListAddressHistoryRequest,
  ListAddressHistoryResponse,
} from '../../proto/gen/weft/v1/endpoint.js';
import type { Cache } from '../cache/cache.js';
import { holdingOf, readHolding, type Holding } from '../cache/holding.js';
import type { View } from '../cache/view.js';
import { networkNotFound } from '../domain/network.js';
import { historyOf } from '../store/keys.js';
import type { Store } from '../store/store.js';
import { PAGE_DEFAULT, checkPageSize } from './page.js';
import { viewAt } from './reads.js';
import type { CallInfo } from './serve.js';
import { Checker } from './validate.js';

/** Where the next page begins: after the holding of this rank, of a listing as of this revision. */
interface Token {
  readonly asOf: bigint;
  readonly after: Rank;
}

/** What holdings are ordered by: until when (0: still), since when, and by whom. */
type Rank = readonly [until: bigint, from: bigint, id: string];

/** Answers ListAddressHistory. Throws WeftError ARGUMENT_INVALID, NETWORK_NOT_FOUND, and what the store throws. */
export async function addressHistory(
  { cache, store }: { readonly cache: Cache; readonly store: Store },
  request: ListAddressHistoryRequest,
  { signal, log }: CallInfo,
): Promise<ListAddressHistoryResponse> {
  const check = new Checker();
  const address = check.ip('address', request.address);
  if (request.network !== '') check.reference('network', request.network);
  checkPageSize(check, request.pageSize);
  const token = readToken(check, request.pageToken);
  check.done();
  if (address === undefined) throw new Error('an address that was not refused');

  const view = await viewAt(cache, token?.asOf ?? 0n, signal);
  const asOf = token?.asOf ?? view.revision;
  // Before the store is asked: who gives the address back meanwhile is then in both, and not in neither.
  const now = holdersOf(view, address);
  const { entries } = await store.list(historyOf(address), signal);
  const before = entries.flatMap((entry) => {
    try {
      return readHolding(entry) ?? [];
    } catch (error) {
      log.error({ key: JSON.stringify(entry.key), err: error }, 'a stored value cannot be read; skipped');
      return [];
    }
  });
  const ended = new Set(before.map(idOf));
  const all = [...now.filter((holding) => !ended.has(idOf(holding))), ...before];
  const wanted = all.filter(({ fromRevision }) => fromRevision <= asOf).filter(inNetwork(cache.view, request.network));
  if (wanted.length === 0) refuseUnknown(cache.view, request.network);

  const ranked = wanted
    .map((holding) => ({ holding, rank: rankOf(holding, asOf) }))
    .filter(({ rank }) => token === undefined || compare(token.after, rank) < 0)
    .sort((a, b) => compare(a.rank, b.rank));
  const page = ranked.slice(0, request.pageSize === 0 ? PAGE_DEFAULT : request.pageSize);
  const last = page.at(-1);
  return {
    holdings: page.map(({ holding }) => encodeHolding(holding)),
    nextPageToken: last === undefined || page.length === ranked.length ? '' : writeToken({ asOf, after: last.rank }),
    revision: asOf,
  };
}

function holdersOf(view: View, address: IpAddress): readonly Holding[] {
  const holdings: Holding[] = [];
  for (const { id, name } of view.networks.values()) {
    const holder = view.holderOfAddress(id, address);
    if (holder === undefined) continue;
    const host = view.hosts.get(holder.hostId)?.name ?? holder.hostId;
    holdings.push(holdingOf(holder, address, { network: name, host }));
  }
  return holdings;
}

function idOf({ networkId, endpointId, fromRevision }: Holding): string {
  return `${networkId} ${endpointId} ${String(fromRevision)}`;
}

/** A network that is there is meant by its name or id; one that is gone by what it was. */
function inNetwork(view: View, reference: string): (holding: Holding) => boolean {
  if (reference === '') return () => true;
  const present = find(view, reference);
  if (present !== undefined) return ({ networkId }) => networkId === present.id;
  return ({ networkId, network }) => networkId === reference || nameKey(network) === nameKey(reference);
}

function refuseUnknown(view: View, reference: string): void {
  if (reference !== '' && find(view, reference) === undefined) throw new WeftError(networkNotFound(reference));
}

function find(view: View, reference: string) {
  const id = parseNetworkId(reference);
  return (id === undefined ? undefined : view.networks.get(id)) ?? view.networkNamed(reference);
}

function rankOf({ untilRevision, fromRevision, networkId, endpointId }: Holding, asOf: bigint): Rank {
  return [untilRevision > asOf ? 0n : untilRevision, fromRevision, `${networkId}/${endpointId}`];
}

/** The newest first, and before all others those that are not over. */
function compare(a: Rank, b: Rank): number {
  if (a[0] !== b[0]) return a[0] === 0n || (b[0] !== 0n && a[0] > b[0]) ? -1 : 1;
  if (a[1] !== b[1]) return a[1] > b[1] ? -1 : 1;
  return a[2] < b[2] ? -1 : a[2] > b[2] ? 1 : 0;
}

function writeToken({ asOf, after }: Token): string {
  return Buffer.from([asOf, ...after].map(String).join(' ')).toString('base64url');
}

function readToken(check: Checker, text: string): Token | undefined {
  if (text === '') return undefined;
  const read = /^(\d{1,19}) (\d{1,19}) (\d{1,19}) (\S{1,100})$/.exec(Buffer.from(text, 'base64url').toString());
  if (read === null) {
    check.refuse('page_token', 'not a token of an earlier page');
    return undefined;
  }
  const [, asOf = '', until = '', from = '', id = ''] = read;
  return { asOf: BigInt(asOf), after: [BigInt(until), BigInt(from), id] };
}

function encodeHolding({ fromTimeMs, untilTimeMs, ...holding }: Holding): AddressHolding {
  const time = (ms: number): Date | undefined => (ms === 0 ? undefined : new Date(ms));
  return { ...holding, fromTime: time(fromTimeMs), untilTime: time(untilTimeMs) };
}
