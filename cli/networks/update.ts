/** `weft network update` */
import { setTimeout as sleep } from 'node:timers/promises';
import { invalid, WeftError } from '../../core/errors.js';
import type { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import type { Controllers } from '../connect.js';
import type { Invocation } from '../invocation.js';
import { allNetworks } from '../lists.js';
import { eachOf } from '../several.js';
import { withShownId } from '../shown-id.js';
import {
  changeNetwork,
  changesAnything,
  checkChanges,
  ELSEWHERE,
  IMMUTABLE,
  immutable,
  longFlag,
  typedFor,
  type ChangeOptions,
  type NetworkChange,
} from './changes.js';
import { refusePredefined } from './predefined.js';

/** As typed; the hidden options of IMMUTABLE and ELSEWHERE are among them. */
export interface UpdateOptions extends ChangeOptions {
  readonly wait?: boolean;
}

/** How often a change is computed anew because another came in between, and how long is waited before, in ms. */
const ATTEMPTS = 6;
const PAUSE_MS = 50;

export async function updateNetworks(
  invocation: Invocation,
  names: readonly string[],
  options: UpdateOptions,
): Promise<number> {
  refuseHidden(options);
  checkChanges(options);
  if (!changesAnything(options)) {
    throw new WeftError({
      reason: 'ARGUMENT_INVALID',
      message: 'nothing to change: say what, such as --label, -o, --add-subnet or --grow',
    });
  }
  const { connectControllers } = await import('../connect.js');
  const { Network } = await import('../../proto/gen/weft/v1/network.js');
  using controllers = await connectControllers(invocation);
  const { done, exitCode } = await eachOf(invocation, names, async (name) => {
    refusePredefined(name);
    const { network, revision } = await updateOne(invocation, controllers, { name, options });
    if (!invocation.globals.json) invocation.print(name);
    if (options.wait === true) {
      await (await import('../wait.js')).waitFor(invocation, controllers, revision);
      await (await import('./notices.js')).tellNotices(invocation, controllers, network.name);
    }
    return Network.toJSON(network);
  });
  if (invocation.globals.json) {
    if (names.length > 1) invocation.printJson({ networks: done });
    else if (done.length === 1) invocation.printJson(done[0]);
  }
  return exitCode;
}

/** Reads the network, and changes it if it is still as it was read; begins anew where it is not. */
async function updateOne(
  invocation: Invocation,
  controllers: Controllers,
  { name, options }: { readonly name: string; readonly options: UpdateOptions },
): Promise<{ readonly network: NetworkMessage; readonly revision: bigint }> {
  const { present } = await import('../connect.js');
  const { networks, ask } = controllers;
  let minRevision = 0n;
  for (let attempt = 1; ; attempt += 1) {
    const read = await withShownId(
      name,
      () => allNetworks(controllers),
      (nameOrId) => ask(networks.get.bind(networks), { network: nameOrId, minRevision }),
    );
    const network = present(read.network, 'network');
    const change = changeNetwork(network, options);
    // By id: a network that is made anew under the name in between is another one.
    const request = { ...change.values, network: network.id, ifRevision: network.revision };
    try {
      const answer = await ask(networks.update.bind(networks), request);
      return { network: present(answer.network, 'network'), revision: answer.revision };
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      if (error.reason !== 'REVISION_CHANGED' || attempt >= ATTEMPTS) throw asTyped(error, change, options);
      // Another controller may answer next, and not have heard yet of the change that was in the way.
      const seen = error.metadata['revision'] ?? '';
      if (/^\d{1,19}$/.test(seen)) minRevision = BigInt(seen);
      // Not all at the same moment again.
      await sleep(PAUSE_MS * attempt * (0.5 + Math.random()), undefined, { signal: invocation.surroundings.signal });
    }
  }
}

/** A refusal of a subnet under the option it was typed with: --grow, not what `network create` calls it. */
function asTyped(error: WeftError, change: NetworkChange, options: ChangeOptions): WeftError {
  let { message } = error;
  const violations = error.violations.map((violation) => {
    const { field, instead } = typedFor(violation.field, change, options) ?? {};
    if (field === undefined) return violation;
    message = message.replace(`${violation.field}: `, () => `${field}: `);
    if (instead !== undefined) message += `; ${instead}`;
    return { ...violation, field };
  });
  return new WeftError({ reason: error.reason, message, violations, metadata: error.metadata }, { cause: error.cause });
}

function refuseHidden(options: UpdateOptions): void {
  const given = new Map<string, unknown>(Object.entries(options));
  const typed = (flags: string): boolean => given.has(longFlag(flags).slice(2));
  for (const [flags, why] of IMMUTABLE) if (typed(flags)) throw immutable(flags, why);
  for (const [flags, instead] of ELSEWHERE) if (typed(flags)) throw new WeftError(invalid(longFlag(flags), instead));
}
