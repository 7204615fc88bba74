/** `weft network rm` and `weft network prune` */
import { WeftError } from '../../core/errors.js';
import { checkFilters, PRUNE_FILTERS } from '../arguments/filters.js';
import { confirm, requireTerminal } from '../confirm.js';
import type { Controllers } from '../connect.js';
import type { Invocation } from '../invocation.js';
import { allNetworks } from '../lists.js';
import { byName } from '../natural-order.js';
import { eachOf } from '../several.js';
import { withShownId } from '../shown-id.js';
import { refusePredefined } from './predefined.js';

export interface RemoveOptions {
  readonly force?: boolean;
  readonly wait?: boolean;
}

export interface PruneOptions extends RemoveOptions {
  readonly filter?: readonly string[];
}

/** Names that a question spells out; the rest are counted. */
const NAMED_MAX = 20;

interface Removed {
  readonly name: string;
  readonly revision: string;
}

export async function removeNetworks(
  invocation: Invocation,
  names: readonly string[],
  options: RemoveOptions,
): Promise<number> {
  const { connectControllers } = await import('../connect.js');
  using controllers = await connectControllers(invocation);
  const { done, exitCode } = await eachOf(invocation, names, async (name) => {
    refusePredefined(name);
    const remove = (): Promise<Removed> =>
      withShownId(
        name,
        () => allNetworks(controllers),
        (network) => removeOne(invocation, controllers, { name, network, options }),
      );
    return options.force === true ? await unless(['NETWORK_NOT_FOUND'], remove) : await remove();
  });
  if (invocation.globals.json) invocation.printJson({ removed: done.filter((entry) => entry !== undefined) });
  return exitCode;
}

/** Removes the networks that have no endpoints; what gets one in between stays. */
export async function pruneNetworks(
  invocation: Invocation,
  { filter = [], force = false, ...options }: PruneOptions,
): Promise<number> {
  checkFilters(filter, PRUNE_FILTERS);
  requireTerminal(invocation, force);
  const { connectControllers } = await import('../connect.js');
  using controllers = await connectControllers(invocation);
  const found = await allNetworks(controllers, [...filter, 'dangling=true']);
  found.sort(byName);
  const names = found.map(({ name }) => name);
  if (names.length > 0 && !(await confirm(invocation, { question: questionOf(names), force }))) {
    invocation.note('nothing was removed');
    return 1;
  }
  const { done, exitCode } = await eachOf(invocation, found, async ({ id, name }) => {
    const removed = await unless(['NETWORK_NOT_FOUND', 'NETWORK_IN_USE'], () =>
      removeOne(invocation, controllers, { name, network: id, options }),
    );
    if (removed === undefined) invocation.note(`network ${name} was left: somebody removed it, or is using it now`);
    return removed;
  });
  if (invocation.globals.json) invocation.printJson({ removed: done.filter((entry) => entry !== undefined) });
  return exitCode;
}

function questionOf(names: readonly string[]): string {
  const named = names.slice(0, NAMED_MAX).join(', ');
  const more = names.length > NAMED_MAX ? ` and ${String(names.length - NAMED_MAX)} more` : '';
  const what = names.length === 1 ? 'a network that has' : `${String(names.length)} networks that have`;
  return `This removes ${what} no endpoints: ${named}${more}. Go on?`;
}

async function removeOne(
  invocation: Invocation,
  controllers: Controllers,
  { name, network, options }: { readonly name: string; readonly network: string; readonly options: RemoveOptions },
): Promise<Removed> {
  const { networks, ask } = controllers;
  const { revision } = await ask(networks.delete.bind(networks), { network });
  if (!invocation.globals.json) invocation.print(name);
  if (options.wait === true) await (await import('../wait.js')).waitFor(invocation, controllers, revision);
  return { name, revision: String(revision) };
}

/** What `body` brings; undefined where it fails for one of these reasons. */
async function unless<T>(reasons: readonly string[], body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof WeftError && reasons.includes(error.reason)) return undefined;
    throw error;
  }
}
