/** `weft backup` */
import { throughCheck, saveBackup, type BackupFacts } from '../backup-files.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { renderBytes } from '../output/bytes.js';
import { LocalFailure } from '../output/errors.js';
import { withProgress } from '../output/progress.js';
import { timeWord } from '../output/times.js';

/** How long it may take where no --timeout says so, in milliseconds: as long as there is much to copy. */
const LIMIT_MS = 60 * 60 * 1000;

export const define: Define = (command, act) => {
  addExamples(
    command
      .argument('<file>', 'where to; its old content stays until the new one is whole. -: stdout')
      .action(act((invocation, file: string) => backup(invocation, file))),
    ['weft backup /var/backups/weft-$(date +%F)', 'readable for its owner only'],
    ['weft backup - | ssh vault "cat > weft.backup"', 'to another machine'],
  );
};

async function backup(invocation: Invocation, file: string): Promise<undefined> {
  const { stdout, stderr, writeBytes } = invocation.surroundings;
  if (file === '') throw new LocalFailure('INVALID_ARGUMENT', 'FILE is empty: name a file, or - for stdout');
  const toStdout = file === '-';
  if (toStdout && stdout.isTty) {
    throw new LocalFailure('INVALID_ARGUMENT', 'a backup is no text for a terminal: name a file, or pipe it on');
  }
  if (toStdout && invocation.globals.json) {
    throw new LocalFailure('INVALID_ARGUMENT', '--json and the backup cannot both be on stdout: name a file');
  }
  const { connectControllers } = await import('../connect.js');
  const { download } = await import('../../proto/stream-call.js');
  using controllers = await connectControllers(invocation);
  const { cluster, context } = controllers;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const limits = { timeoutMs: invocation.remainingMs(LIMIT_MS) };
    for await (const { data } of download(cluster.backup.bind(cluster), {}, context(limits))) yield data;
  }
  let bytes = 0;
  const seen = (soFar: number): void => {
    bytes = soFar;
  };
  const facts = await withProgress(
    stderr,
    async () => `${renderBytes(bytes)} so far...`,
    () =>
      toStdout
        ? throughCheck(chunks(), async (chunk, soFar) => {
            await writeBytes(chunk);
            seen(soFar);
          })
        : saveBackup(file, chunks(), seen),
  );
  await tell(invocation, file, facts);
  return undefined;
}

async function tell(invocation: Invocation, file: string, facts: BackupFacts): Promise<void> {
  const { header, entries, bytes } = facts;
  if (invocation.globals.json) {
    const { BackupHeader } = await import('../../proto/gen/weft/v1/stored.js');
    const json = BackupHeader.toJSON(header) as object;
    invocation.printJson({ file, ...json, entries: String(entries), bytes: String(bytes) });
    return;
  }
  if (file !== '-') invocation.print(file);
  invocation.note(`revision ${String(header.revision)} of ${timeWord(header.time)}, ${renderBytes(bytes)}`);
}
