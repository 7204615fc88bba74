/** Networks that run out of addresses: told of before they are out, and once, not with every endpoint. */
import type { NetworkId } from '../../core/ids.js';
import type { View } from '../cache/view.js';
import { familyUsages, type FamilyUsage } from './usage.js';

/** Percent of a family's addresses that are held or rest: from which on they are scarce, and below which no longer. */
const SCARCE_FROM_PERCENT = 90n;
const SCARCE_UNTIL_PERCENT = 85n;

/** A network's family whose addresses are scarce. */
export interface Scarcity extends FamilyUsage {
  readonly networkId: NetworkId;
  readonly network: string;
}

/**
 * What is scarce of a network, knowing what was scarce of it before: between the two thresholds it stays as it was, so
 * that one endpoint that comes and goes is no news. Nothing is scarce of a network that is not there.
 */
export function scarcityOf(view: View, id: NetworkId, before: readonly Scarcity[]): readonly Scarcity[] {
  const network = view.networks.get(id);
  if (network === undefined) return [];
  return familyUsages(view, network)
    .filter((usage) =>
      isScarce(
        usage,
        before.some(({ family }) => family === usage.family),
      ),
    )
    .map((usage) => ({ networkId: network.id, network: network.name, ...usage }));
}

/** What has become scarce, of which it is time to tell. */
export function newlyScarce(before: readonly Scarcity[], after: readonly Scarcity[]): readonly Scarcity[] {
  return after.filter(({ family }) => !before.some((each) => each.family === family));
}

/** The figures, and what to do, as a sentence. */
export function describeScarcity({ family, total, used, resting, free }: Scarcity): string {
  const rest = resting === 0n ? '' : `, ${String(resting)} rest`;
  return (
    `${String(used)} of ${String(total)} IPv${String(family)} addresses are held${rest}, ${String(free)} are free; ` +
    'grow a subnet or its range, or add a subnet, with weft network update'
  );
}

function isScarce({ total, free }: Pick<FamilyUsage, 'total' | 'free'>, wasScarce: boolean): boolean {
  // An empty range was meant to be: every address is asked for by name.
  if (total === 0n) return false;
  return (total - free) * 100n >= total * (wasScarce ? SCARCE_UNTIL_PERCENT : SCARCE_FROM_PERCENT);
}
