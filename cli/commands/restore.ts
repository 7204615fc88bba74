/** `weft restore` */
import { setTimeout as sleep } from 'node:timers/promises';
import { WeftError } from '../../core/errors.js';
import type { GetStatusResponse, RestoreResponse as RestoreMessage } from '../../proto/gen/weft/v1/cluster.js';
import { checkBackupFile, readPieces, type BackupFacts } from '../backup-files.js';
import { confirm, requireTerminal } from '../confirm.js';
import type { Controllers } from '../connect.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { renderBytes } from '../output/bytes.js';
import { LocalFailure } from '../output/errors.js';
import { withProgress } from '../output/progress.js';
import { timeWord } from '../output/times.js';

interface RestoreOptions {
  readonly force?: boolean;
  readonly wait?: boolean;
}

/** How long it may take where no --timeout says so, in milliseconds: once begun, it had better end. */
const LIMIT_MS = 60 * 60 * 1000;

/** So long do controllers wait for a host to say what it runs, from their own start in the new epoch. */
const PATIENCE_MS = 10 * 60 * 1000;
/** Longer than that: afterwards, --wait has nothing to wait for. */
const DECLARE_LIMIT_MS = PATIENCE_MS + 60 * 1000;

/** A controller starts serving anew after a restore. How long that is given without --wait, and between questions. */
const SETTLE_MS = 15 * 1000;
const QUESTION_PAUSE_MS = 250;
const QUESTION_TIMEOUT_MS = 2000;

export const define: Define = (command, act) => {
  addExamples(
    command
      .argument('<file>', 'a backup; looked through before anything is changed')
      .option('-f, --force', 'do not ask')
      .option('--wait', 'return when every host has said what it runs, or after 11 minutes')
      .action(act((invocation, file: string, options: RestoreOptions) => restore(invocation, file, options))),
    ['weft restore /var/backups/weft-2026-01-02', 'shows what becomes of what, and asks'],
    ['weft restore -f --wait /var/backups/weft-2026-01-02', 'unasked; the cluster is whole when it returns'],
  );
};

async function restore(invocation: Invocation, file: string, options: RestoreOptions): Promise<number> {
  const { force = false, wait = false } = options;
  requireTerminal(invocation, force);
  const facts = await checkBackupFile(file);
  const { connectControllers } = await import('../connect.js');
  using controllers = await connectControllers(invocation);
  const { cluster, ask } = controllers;
  if (!force) {
    const now = await ask(cluster.getStatus.bind(cluster), {});
    if (!(await confirm(invocation, { question: questionOf(now, facts), force }))) {
      invocation.note('nothing was changed');
      return 1;
    }
  }
  const restored = await send(invocation, controllers, { file, facts });
  if (invocation.globals.json) {
    const { RestoreResponse } = await import('../../proto/gen/weft/v1/cluster.js');
    invocation.printJson(RestoreResponse.toJSON(restored));
  } else {
    invocation.print(restored.epoch);
    const { networks, endpoints, hosts } = restored;
    const counts = [count(networks, 'network'), count(endpoints, 'endpoint'), count(hosts, 'host')].join(', ');
    invocation.note(`restored ${counts}; a new epoch begins`);
  }
  await tellUndeclared(invocation, controllers, { epoch: restored.epoch, wait });
  return 0;
}

function questionOf(now: GetStatusResponse, { header }: BackupFacts): string {
  const clusterId = header.meta?.clusterId ?? '';
  const has = `cluster ${now.clusterId} has ${count(now.networks, 'network')} and ${count(now.endpoints, 'endpoint')}`;
  const from = clusterId === now.clusterId ? 'its own state' : `the state of cluster ${clusterId}`;
  return (
    `At present ${has}, at revision ${String(now.revision)}.\n` +
    `Everything it holds is replaced by ${from} of ${timeWord(header.time)}, revision ${String(header.revision)}.\n` +
    'What runs goes on running, and its endpoints stay where their places are free. Go on?'
  );
}

async function send(
  invocation: Invocation,
  { cluster, context }: Controllers,
  { file, facts }: { readonly file: string; readonly facts: BackupFacts },
): Promise<RestoreMessage> {
  const { upload } = await import('../../proto/stream-call.js');
  let sent = 0;
  async function* requests(): AsyncGenerator<{ data: Buffer }> {
    for await (const data of readPieces(file)) {
      yield { data };
      sent += data.length;
    }
  }
  const describe = async (): Promise<string> =>
    sent < facts.bytes
      ? `${renderBytes(sent)} of ${renderBytes(facts.bytes)} sent...`
      : 'sent; waiting for the controller to put it in place...';
  return await withProgress(invocation.surroundings.stderr, describe, () =>
    upload(cluster.restore.bind(cluster), requests(), context({ timeoutMs: invocation.remainingMs(LIMIT_MS) })),
  );
}

/**
 * Says which hosts have still to say what they run, since nothing is allocated before; waits for them where that is
 * asked for. Rejects with a LocalFailure that names those that were waited for in vain.
 */
async function tellUndeclared(
  invocation: Invocation,
  controllers: Controllers,
  { epoch, wait }: { readonly epoch: string; readonly wait: boolean },
): Promise<void> {
  const { signal } = invocation.surroundings;
  const untilMs = invocation.elapsedMs() + (wait ? invocation.remainingMs(DECLARE_LIMIT_MS) : SETTLE_MS);
  let awaited: readonly string[] | undefined;
  const look = async (): Promise<void> => {
    for (;;) {
      awaited = (await undeclaredHosts(controllers, epoch)) ?? awaited;
      const done = wait ? awaited?.length === 0 : awaited !== undefined;
      if (done || invocation.elapsedMs() >= untilMs) return;
      await sleep(QUESTION_PAUSE_MS, undefined, { signal });
    }
  };
  const describe = async (): Promise<string> => `waiting for ${named(awaited)} to say what runs there`;
  const beganMs = invocation.elapsedMs();
  await withProgress(invocation.surroundings.stderr, describe, look, wait ? 'lines' : 'silent');
  if (awaited?.length === 0) return;
  if (wait) throw new LocalFailure('DEADLINE_EXCEEDED', vainWait(awaited, invocation.elapsedMs() - beganMs));
  invocation.note(`nothing is allocated before it is heard what runs on ${named(awaited)}: weft status`);
}

/** What is the matter, and what to do, when --wait has waited for `ms` without hearing of everybody. Pure. */
export function vainWait(awaited: readonly string[] | undefined, ms: number): string {
  if (awaited === undefined) {
    return 'it is restored, but no controller serves the new epoch yet: see its log, and weft status';
  }
  const hosts = named(awaited);
  const consequence =
    ms >= PATIENCE_MS
      ? `the controllers go on without ${awaited.length === 1 ? 'it' : 'them'}, and what runs there may lose its place`
      : 'nothing is allocated before that, or before the controllers have waited for ten minutes';
  return `it is restored, but nothing was heard of what runs on ${hosts}; start weft-agent there: ${consequence}`;
}

/** The hosts of this epoch that have not said yet what they run; undefined where no controller serves it yet. */
async function undeclaredHosts({ cluster, ask }: Controllers, epoch: string): Promise<readonly string[] | undefined> {
  try {
    const status = await ask(cluster.getStatus.bind(cluster), {}, { timeoutMs: QUESTION_TIMEOUT_MS });
    const unfinished = status.warnings.some(({ reason }) => reason === 'RESTORE_UNFINISHED');
    if (status.epoch !== epoch || unfinished) return undefined;
    return status.hosts.filter(({ declaredEpoch }) => declaredEpoch !== epoch).map(({ name }) => name);
  } catch (error) {
    if (error instanceof WeftError && ['UNAVAILABLE', 'DEADLINE_EXCEEDED'].includes(error.status)) return undefined;
    throw error;
  }
}

/** `1 network`, `2 networks`. */
function count(number: number, thing: string): string {
  return `${String(number)} ${thing}${number === 1 ? '' : 's'}`;
}

function named(hosts: readonly string[] | undefined): string {
  return hosts === undefined ? 'the hosts' : hosts.join(', ');
}
