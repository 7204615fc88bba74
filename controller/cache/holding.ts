/** Who held an address, as the store remembers it: written when the address is given back, read when somebody asks. */
import type { IpAddress } from '../../core/address.js';
import type { EndpointId, NetworkId } from '../../core/ids.js';
import type { Endpoint } from '../../core/model.js';
import { StoredHolding } from '../../proto/gen/weft/v1/stored.js';
import { historyKey, parseHistoryKey } from '../store/keys.js';
import type { KeyValue, Put } from '../store/store.js';

/** One endpoint's time with an address. Revisions give the order; times are for display, in milliseconds since 1970. */
export interface Holding {
  readonly address: IpAddress;
  readonly networkId: NetworkId;
  /** The network's name and the host's, as they were then. */
  readonly network: string;
  readonly endpointId: EndpointId;
  readonly hostId: string;
  readonly host: string;
  readonly sandbox: string;
  readonly mac: string;
  readonly fromRevision: bigint;
  /** 0: it holds the address now. */
  readonly untilRevision: bigint;
  readonly fromTimeMs: number;
  readonly untilTimeMs: number;
}

/** What a holder has had of an address so far. */
export function holdingOf(
  endpoint: Endpoint,
  address: IpAddress,
  names: { readonly network: string; readonly host: string },
): Holding {
  const { networkId, id, hostId, sandbox, mac, createRevision, createTimeMs } = endpoint;
  return {
    ...{ address, networkId, ...names, endpointId: id, hostId, sandbox, mac },
    ...{ fromRevision: createRevision, untilRevision: 0n, fromTimeMs: createTimeMs, untilTimeMs: 0 },
  };
}

/** What to write when an address is given back; until which revision is the key's own. */
export function putHolding(holding: Holding, ttlMs: number): Put {
  const { network, hostId, host, sandbox, mac, fromRevision, fromTimeMs, untilTimeMs } = holding;
  const stored: StoredHolding = {
    ...{ network, hostId, host, sandbox, mac, fromRevision },
    ...{ fromTime: new Date(fromTimeMs), untilTime: new Date(untilTimeMs) },
  };
  return { key: historyKey(holding), value: StoredHolding.encode(stored).finish(), ttlMs };
}

/** The holding under a key; undefined for a key that no Weft wrote. Throws what decoding throws. */
export function readHolding({ key, value, modRevision }: KeyValue): Holding | undefined {
  const ref = parseHistoryKey(key);
  if (ref === undefined) return undefined;
  const { fromTime, untilTime, ...stored } = StoredHolding.decode(value);
  return {
    ...{ ...ref, ...stored, untilRevision: modRevision },
    ...{ fromTimeMs: fromTime?.getTime() ?? 0, untilTimeMs: untilTime?.getTime() ?? 0 },
  };
}
