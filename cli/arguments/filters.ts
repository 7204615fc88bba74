/** What lists can be filtered by: help prints it, completion offers it, and what is none of it is refused. Pure. */
import { invalid, WeftError } from '../../core/errors.js';

/** Filters as people type them, a capital word for what they fill in. */
export type Filters = readonly string[];

const LABELS: Filters = ['label=KEY[=VALUE]', 'label!=KEY[=VALUE]'];

export const NETWORK_FILTERS: Filters = [
  ...['name=PART', 'id=PREFIX', 'driver=D', ...LABELS],
  ...['dangling=true', 'until=24h', 'type=custom'],
];

export const ENDPOINT_FILTERS: Filters = [...LABELS, 'name=PART', 'sandbox=PART', 'id=PREFIX', 'state=ready'];

/** What Docker's `network prune` takes. */
export const PRUNE_FILTERS: Filters = [...LABELS, 'until=24h'];

/** Refuses a filter that is none of `known`; its value is the controller's to judge. Throws WeftError ARGUMENT_INVALID. */
export function checkFilters(typed: readonly string[], known: Filters): void {
  for (const text of typed) {
    if (known.some((filter) => keyOf(filter) === keyOf(text))) continue;
    const why = `there is no such filter; there are ${known.join(', ')}`;
    throw new WeftError(invalid('--filter', `${JSON.stringify(text)}: ${why}`));
  }
}

/** `name` of `name=PART`, `label` of `label!=KEY`; undefined: it has none. */
function keyOf(filter: string): string | undefined {
  return /^([^=!]+)!?=/.exec(filter)?.[1];
}
