/** `weft events` */
import { invalid, WeftError } from '../../core/errors.js';
import { isUuid } from '../../core/ids.js';
import type { Event, ObjectKind, WatchRequest } from '../../proto/gen/weft/v1/watch.js';
import { collect } from '../arguments/labels.js';
import type { Controllers } from '../connect.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { allHosts, allNetworks } from '../lists.js';
import { LocalFailure } from '../output/errors.js';
import { withShownId } from '../shown-id.js';
import type { EventsBatch } from '../watch-events.js';

interface EventsOptions {
  readonly since?: string;
  readonly follow?: boolean;
  readonly network?: string;
  readonly host?: string;
  readonly kind?: readonly string[];
}

export const define: Define = (command, act) => {
  addExamples(
    command
      .option('--since <revision>', 'from this revision on, itself included')
      .option('--follow', 'go on as things happen; --timeout is then how long to look for a controller')
      .option('--network <network>', 'only of this network and the endpoints on it (name or id)')
      .option('--host <host>', 'only of this host and the endpoints on it (name or id)')
      .option('--kind <kind>', `only of this kind: ${KINDS.join(', ')} (repeats)`, collect)
      .action(act((invocation, options: EventsOptions) => events(invocation, options))),
    ['weft events --follow', 'what happens from now on, until Ctrl-C'],
    ['weft events --since 4711', 'what has happened since, and no more'],
    ['weft events --since 4711 --follow --json', 'both, one JSON object in each line'],
  );
};

const KINDS = ['network', 'endpoint', 'host'] as const;

async function events(invocation: Invocation, options: EventsOptions): Promise<undefined> {
  const { follow = false } = options;
  const fromRevision = options.since === undefined ? 0n : parseSince(options.since);
  if (fromRevision === 0n && !follow) {
    const message =
      'say from where: --since REVISION (weft status has the one of now), or --follow for what is to come';
    throw new LocalFailure('INVALID_ARGUMENT', message);
  }
  const { connectControllers } = await import('../connect.js');
  const { watchEvents } = await import('../watch-events.js');
  const kinds = await parseKinds(options.kind ?? []);
  using controllers = await connectControllers(invocation);
  const request: WatchRequest = {
    ...{ fromRevision, epoch: '', kinds, untilNow: !follow },
    network: await networkId(controllers, options.network ?? ''),
    host: await hostId(controllers, options.host ?? ''),
  };
  const batches = watchEvents(controllers, request, invocation);
  if (invocation.globals.json && !follow) {
    await tellDocument(invocation, batches);
    return undefined;
  }
  const { count, upTo } = await tellLines(invocation, controllers, batches);
  if (count === 0) invocation.note(`nothing from revision ${String(fromRevision)} up to ${String(upTo)}`);
  return undefined;
}

/** Each batch in one piece: who reads lines has all of a revision or nothing of it. How many there were, and up to where. */
async function tellLines(
  invocation: Invocation,
  controllers: Controllers,
  batches: AsyncIterable<EventsBatch>,
): Promise<{ readonly count: number; readonly upTo: bigint }> {
  const render = await rendering(invocation, controllers);
  let count = 0;
  let upTo = 0n;
  for await (const batch of batches) {
    const lines: string[] = [];
    for (const event of batch.events) lines.push(`${await render(event)}\n`);
    if (lines.length > 0) await invocation.surroundings.writeBytes(Buffer.from(lines.join('')));
    count += lines.length;
    ({ upTo } = batch);
  }
  return { count, upTo };
}

async function tellDocument(invocation: Invocation, batches: AsyncIterable<EventsBatch>): Promise<void> {
  const { Event: message } = await import('../../proto/gen/weft/v1/watch.js');
  const events: unknown[] = [];
  let revision = '';
  for await (const batch of batches) {
    for (const event of batch.events) events.push(message.toJSON(event));
    revision = String(batch.upTo);
  }
  invocation.printJson({ events, revision });
}

async function rendering(
  { globals, surroundings }: Invocation,
  controllers: Controllers,
): Promise<(event: Event) => Promise<string>> {
  if (globals.json) {
    const { Event: message } = await import('../../proto/gen/weft/v1/watch.js');
    return async (event) => JSON.stringify(message.toJSON(event));
  }
  const { EVENTS_HEAD, renderEvent } = await import('../output/events.js');
  const { makePaint } = await import('../output/states.js');
  const { EventNames } = await import('../event-names.js');
  const paint = makePaint(surroundings);
  const names = new EventNames(controllers);
  let head = `${EVENTS_HEAD}\n`;
  return async (event) => {
    names.learn(event);
    const line = `${head}${await renderEvent(event, names, paint)}`;
    head = '';
    return line;
  };
}

function parseSince(text: string): bigint {
  const revision = /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
  if (revision < 1n || revision >= 2n ** 63n) {
    throw new WeftError(invalid('--since', `expected a revision, from 1 on, not ${JSON.stringify(text)}`));
  }
  return revision;
}

async function parseKinds(typed: readonly string[]): Promise<ObjectKind[]> {
  const { ObjectKind: kinds } = await import('../../proto/gen/weft/v1/watch.js');
  const wire = {
    network: kinds.OBJECT_KIND_NETWORK,
    endpoint: kinds.OBJECT_KIND_ENDPOINT,
    host: kinds.OBJECT_KIND_HOST,
  } as const;
  return typed.map((text) => {
    const kind = KINDS.find((each) => each === text);
    if (kind === undefined) {
      throw new WeftError(invalid('--kind', `expected ${KINDS.join(', ')}, not ${JSON.stringify(text)}`));
    }
    return wire[kind];
  });
}

/** By its id, it stays the same one when another takes its name; and what is gone has no name any more. */
async function networkId(controllers: Controllers, typed: string): Promise<string> {
  if (typed === '' || isUuid(typed)) return typed;
  const { present } = await import('../connect.js');
  const { networks, ask } = controllers;
  const { network } = await withShownId(
    typed,
    () => allNetworks(controllers),
    (nameOrId) => ask(networks.get.bind(networks), { network: nameOrId, minRevision: 0n }),
  );
  return present(network, 'network').id;
}

async function hostId(controllers: Controllers, typed: string): Promise<string> {
  if (typed === '' || isUuid(typed)) return typed;
  const { present } = await import('../connect.js');
  const { hosts, ask } = controllers;
  const { host } = await withShownId(
    typed,
    () => allHosts(controllers),
    (nameOrId) => ask(hosts.get.bind(hosts), { host: nameOrId, minRevision: 0n }),
  );
  return present(host, 'host').id;
}
