import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { writeBackup } from '../proto/backup-file.js';
import { BackupEntry, BackupHeader } from '../proto/gen/weft/v1/stored.js';
import { checkBackupFile, readPieces, saveBackup } from './backup-files.js';
import { LocalFailure } from './output/errors.js';

const HEADER = BackupHeader.fromPartial({ meta: { clusterId: 'c', epoch: 'e', schema: 1 }, revision: 45n });
const ENTRIES = ['o/networks/a', 'o/networks/b'].map((key) =>
  BackupEntry.fromPartial({ key, value: Buffer.alloc(100_000, key) }),
);

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'weft-backup-'));
  file = path.join(directory, 'weft.backup');
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function bytesOf(entries = ENTRIES): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of writeBackup(HEADER, entries)) parts.push(part);
  return Buffer.concat(parts);
}

async function* inChunks(bytes: Buffer, failure?: Error): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  if (failure !== undefined) throw failure;
}

describe('saveBackup', () => {
  it('leaves one file, whole, that only its owner reads', async () => {
    const bytes = await bytesOf();
    const seen: number[] = [];
    const facts = await saveBackup(file, inChunks(bytes), (soFar) => seen.push(soFar));
    expect(facts).toMatchObject({ header: { revision: 45n }, entries: 2, bytes: bytes.length });
    expect(seen.at(-1)).toBe(bytes.length);
    expect(await readdir(directory)).toEqual(['weft.backup']);
    expect((await readFile(file)).equals(bytes)).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('takes the place of an older one, also behind a symlink', async () => {
    await writeFile(file, 'old');
    const link = path.join(directory, 'latest');
    await symlink('weft.backup', link);
    const bytes = await bytesOf();
    await saveBackup(link, inChunks(bytes), () => undefined);
    expect((await readFile(file)).equals(bytes)).toBe(true);
    expect((await readdir(directory)).sort()).toEqual(['latest', 'weft.backup']);
  });

  it.each<[string, (bytes: Buffer) => AsyncGenerator<Buffer>, RegExp]>([
    ['is cut off', (bytes) => inChunks(bytes.subarray(0, -1)), /cut off/],
    ['is something else', () => inChunks(Buffer.from('<html>moved</html>')), /no backup|cut off/],
    ['breaks off', (bytes) => inChunks(bytes, new Error('connection lost')), /connection lost/],
  ])('leaves the older one alone when what comes %s', async (_, chunks, says) => {
    await writeFile(file, 'old');
    await expect(saveBackup(file, chunks(await bytesOf()), () => undefined)).rejects.toThrow(says);
    expect(await readdir(directory)).toEqual(['weft.backup']);
    expect(await readFile(file, 'utf8')).toBe('old');
  });

  it('never takes the place of a device or a directory', async () => {
    for (const target of ['/dev/null', directory]) {
      const saving = saveBackup(target, inChunks(await bytesOf()), () => undefined);
      await expect(saving).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
      await expect(saving).rejects.toThrow(/no regular file|is a directory; name a file in it/);
    }
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true);
  });

  it('says in the words of the one who typed why it cannot', async () => {
    const nowhere = path.join(directory, 'not', 'there');
    const saving = saveBackup(nowhere, inChunks(await bytesOf()), () => undefined);
    await expect(saving).rejects.toBeInstanceOf(LocalFailure);
    await expect(saving).rejects.toMatchObject({ status: 'NOT_FOUND' });
    await expect(saving).rejects.toThrow(`${nowhere}: ENOENT: no such file or directory`);
    await expect(saving).rejects.not.toThrow(/partial/);
  });
});

describe('checkBackupFile', () => {
  it('knows what a whole one holds, and its pieces are the file', async () => {
    const bytes = await bytesOf();
    await writeFile(file, bytes);
    expect(await checkBackupFile(file)).toMatchObject({ header: { revision: 45n }, entries: 2, bytes: bytes.length });
    const pieces: Buffer[] = [];
    for await (const piece of readPieces(file)) pieces.push(piece);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(65_536);
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  });

  it.each([
    ['hello\n', /it is no backup of Weft, or the mere beginning of one/],
    ['network web, 10.1.0.0/24\n'.repeat(9), /it is no backup of Weft$/],
    ['', /it is empty/],
  ])('says what is wrong with %j', async (text, says) => {
    await writeFile(file, text);
    await expect(checkBackupFile(file)).rejects.toThrow(says);
  });

  it('says so of one that is cut off', async () => {
    await writeFile(file, (await bytesOf()).subarray(0, 150_000));
    await expect(checkBackupFile(file)).rejects.toThrow(/it is cut off in the middle; take another backup/);
  });

  it('refuses one that is not', async () => {
    await writeFile(file, (await bytesOf()).subarray(0, 1000));
    await expect(checkBackupFile(file)).rejects.toBeInstanceOf(WeftError);
    await writeFile(file, '');
    await expect(checkBackupFile(file)).rejects.toMatchObject({ reason: 'BACKUP_INVALID' });
    await rm(file);
    await expect(checkBackupFile(file)).rejects.toMatchObject({ status: 'NOT_FOUND' });
    await mkdir(file);
    await expect(checkBackupFile(file)).rejects.toMatchObject({ status: 'INVALID_ARGUMENT' });
  });
});
