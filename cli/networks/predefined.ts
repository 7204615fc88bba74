/** The networks that every cluster has and no store holds: hosts make them by themselves. Pure. */
import { invalid, WeftError, type Rejection } from '../../core/errors.js';
import { filtersOfShownIds } from '../shown-id.js';

/** As Docker has them, drivers too. A program tells them from others by what they lack: an id. */
export interface PredefinedNetwork {
  readonly name: string;
  readonly driver: string;
}

const PREDEFINED: readonly PredefinedNetwork[] = [
  { name: 'bridge', driver: 'bridge' },
  { name: 'host', driver: 'host' },
  { name: 'none', driver: 'null' },
];

/** The predefined network of this name; names do not tell upper from lower case. */
export function predefined(name: string): PredefinedNetwork | undefined {
  return PREDEFINED.find((network) => network.name === name.toLowerCase());
}

/** Refuses to do with a predefined network what only those of the cluster allow. Throws WeftError ARGUMENT_INVALID. */
export function refusePredefined(name: string): void {
  if (predefined(name) === undefined) return;
  throw new WeftError(
    invalid('NETWORK', `${name} is predefined on every host, and can be neither changed nor removed`),
  );
}

export interface NetworkFilters {
  /** For the controller. */
  readonly cluster: readonly string[];
  /** The predefined ones that the filters let through. */
  readonly predefined: readonly PredefinedNetwork[];
  /** Whether networks of the cluster are wanted at all: `type=builtin` leaves them out. */
  readonly custom: boolean;
}

/**
 * `network ls --filter`, divided. All are the controller's to judge but `type=custom|builtin`, which is about where a
 * network lives, and so is known only here. Throws WeftError ARGUMENT_INVALID.
 */
export function divideFilters(typed: readonly string[]): NetworkFilters {
  const isType = (filter: string): boolean => filter.startsWith('type=');
  const types = typed.filter(isType);
  for (const type of types) {
    if (!['type=custom', 'type=builtin'].includes(type)) throw new WeftError(badType(type));
  }
  const cluster = filtersOfShownIds(typed.filter((filter) => !isType(filter)));
  const wanted = (type: string): boolean => types.length === 0 || types.includes(`type=${type}`);
  return {
    cluster,
    custom: wanted('custom'),
    predefined: wanted('builtin') ? PREDEFINED.filter((network) => lets(network, cluster)) : [],
  };
}

function badType(type: string): Rejection {
  return invalid('--filter', `${JSON.stringify(type)}: expected type=custom or type=builtin`);
}

/** Labels must all fit, of the other filters one of each kind: the controller's rule. */
function lets(network: PredefinedNetwork, filters: readonly string[]): boolean {
  const kinds = new Map<string, boolean>();
  for (const filter of filters) {
    const at = filter.indexOf('=');
    const key = filter.slice(0, Math.max(0, at));
    const fits = fitsOne(network, key, filter.slice(at + 1));
    kinds.set(key, key.startsWith('label') ? fits && (kinds.get(key) ?? true) : fits || (kinds.get(key) ?? false));
  }
  return [...kinds.values()].every((fits) => fits);
}

function fitsOne({ name, driver }: PredefinedNetwork, key: string, value: string): boolean {
  switch (key) {
    case 'name':
      return name.includes(value.toLowerCase());
    case 'driver':
      return driver === value;
    case 'dangling':
      // Never unused, as with Docker: they cannot be removed.
      return ['false', '0'].includes(value.toLowerCase());
    case 'label!':
      return true;
    default:
      // They have no labels, no id, and were not made at any time.
      return false;
  }
}
