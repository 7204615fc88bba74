/**
 * Small files that are whole or not there, whatever dies when: written aside, forced to disk, then put in place. A
 * process that is killed meanwhile may leave what it wrote aside, a draft: whoever owns the directory sweeps those.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const DRAFT_SUFFIX = '.tmp';

/** Puts the file there, in the place of what was there. `mode` is cut by the umask. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  await writeAside(path, text, mode, (aside) => rename(aside, path));
}

/** Puts the file there unless there is one already; false then. Of several callers at once exactly one succeeds. */
export async function createFile(path: string, text: string, mode: number): Promise<boolean> {
  let created = true;
  await writeAside(path, text, mode, async (aside) => {
    try {
      // link(2), unlike rename(2), never replaces what is there.
      await link(aside, path);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      created = false;
    }
  });
  return created;
}

/** Removes the file, for good; it is fine when there is none. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncDirectory(dirname(path));
}

/** Whether a name in a directory is that of a draft. One may belong to a write that is under way. */
export function isDraft(name: string): boolean {
  return name.startsWith('.') && name.endsWith(DRAFT_SUFFIX);
}

/** What is in the file; undefined when there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function writeAside(
  path: string,
  text: string,
  mode: number,
  place: (aside: string) => Promise<void>,
): Promise<void> {
  const directory = dirname(path);
  const aside = join(directory, `.${basename(path)}.${randomUUID()}${DRAFT_SUFFIX}`);
  try {
    await using file = await open(aside, 'wx', mode);
    await file.writeFile(text);
    await file.sync();
    await place(aside);
    await syncDirectory(directory);
  } finally {
    await rm(aside, { force: true });
  }
}

/** A name is on disk, or gone from it, only once the directory is. Equivalent to `sync DIRECTORY`. */
async function syncDirectory(directory: string): Promise<void> {
  await using names = await open(directory, 'r');
  await names.sync();
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
