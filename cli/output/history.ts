/** Who held an address, as a table. Pure. */
import type { AddressHolding } from '../../proto/gen/weft/v1/endpoint.js';
import { shortId } from './short-id.js';
import { renderTable } from './table.js';
import { momentCell } from './times.js';

/** In the order given. A moment is a time for people, and the revision that gives the order. */
export function renderHistory(holdings: readonly AddressHolding[]): string {
  const rows = holdings.map((holding) => [
    holding.address,
    holding.network === '' ? shortId(holding.networkId) : holding.network,
    holding.sandbox,
    holding.host === '' ? shortId(holding.hostId) : holding.host,
    momentCell(holding.fromTime, holding.fromRevision),
    holding.untilRevision === 0n ? 'now' : momentCell(holding.untilTime, holding.untilRevision),
  ]);
  return renderTable(['ADDRESS', 'NETWORK', 'SANDBOX', 'HOST', 'FROM (REVISION)', 'UNTIL (REVISION)'], rows);
}
