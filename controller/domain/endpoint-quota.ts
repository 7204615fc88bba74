/**
 * How many endpoints a network and a host may have. Counting is left to the view while there is room; near the edge,
 * where creates beside each other could pass it together, each compares and rewrites a guard, so that they are serial.
 */
import type { Rejection } from '../../core/errors.js';
import type { Host, Network } from '../../core/model.js';
import { guardKey } from '../store/keys.js';
import type { Context } from './decision.js';

/** Endpoints below a quota at which creates become serial: what other controllers make before the view shows it. */
const EDGE = 256;

/** What is on its way here is counted so often, because as much may be on its way from as many controllers. */
const CONTROLLERS = 4;

/** What a create has to do about quotas. */
export interface QuotaDuties {
  /** Guards to compare and rewrite. */
  readonly serialize: readonly string[];
  /** Counts that it adds to while it is on its way. */
  readonly adds: readonly string[];
}

interface Quota {
  readonly kind: 'network' | 'host';
  readonly name: string;
  readonly guard: string;
  readonly count: number;
  readonly most: number;
}

/** Room for one more endpoint. Refuses with QUOTA_REACHED. */
export function checkQuotas(context: Context, network: Network, host: Host): QuotaDuties | Rejection {
  const { view, settings } = context;
  const serialize: string[] = [];
  const adds: string[] = [];
  const check = (quota: Quota): Rejection | undefined => {
    const { guard, count, most } = quota;
    const underway = context.underway(guard);
    if (count + underway >= most) return reached(quota);
    if (count + CONTROLLERS * underway + EDGE >= most) serialize.push(guard);
    else adds.push(guard);
    return undefined;
  };
  const refusal =
    check({
      kind: 'network',
      name: network.name,
      guard: guardKey.networkQuota(network.id),
      count: view.endpointsOf(network.id).size,
      most: settings.endpointsPerNetwork,
    }) ??
    check({
      kind: 'host',
      name: host.name,
      guard: guardKey.hostQuota(host.id),
      count: view.endpointsOn(host.id).size,
      most: settings.endpointsPerHost,
    });
  if (refusal !== undefined) return refusal;
  return { serialize, adds };
}

function reached({ kind, name, count, most }: Quota): Rejection {
  return {
    reason: 'QUOTA_REACHED',
    message:
      `${kind} ${name} has ${String(count)} endpoints, and at most ${String(most)} are allowed; ` +
      `remove some, or give the controllers a higher --endpoints-per-${kind}`,
    metadata: { count: String(count), quota: String(most) },
  };
}
