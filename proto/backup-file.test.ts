import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { readBackup, writeBackup, type BackupRecord } from './backup-file.js';
import { BackupEntry, BackupHeader } from './gen/weft/v1/stored.js';

const HEADER = BackupHeader.fromPartial({
  meta: { clusterId: '6d6f0c4e-0f0b-4a58-9d5c-0f6a1f1c2b3d', epoch: 'e', schema: 1 },
  revision: 45n,
  time: new Date('2026-01-02T03:04:05Z'),
  version: '0.1.0',
});

const entry = fc
  .record({
    key: fc.string(),
    value: fc.uint8Array({ maxLength: 400 }),
    createRevision: fc.bigInt({ min: 1n, max: 1n << 62n }),
  })
  .map(({ value, ...rest }) => BackupEntry.fromPartial({ ...rest, value: Buffer.from(value), modRevision: 44n }));

async function written(entries: readonly BackupEntry[], header = HEADER): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of writeBackup(header, entries)) parts.push(part);
  return Buffer.concat(parts);
}

async function read(chunks: Iterable<Uint8Array>): Promise<BackupRecord[]> {
  const records: BackupRecord[] = [];
  for await (const record of readBackup(chunks)) records.push(record);
  return records;
}

function* cut(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function refusal(bytes: Buffer): Promise<string> {
  const error: unknown = await read([bytes]).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WeftError)) throw new Error(`not refused as it should be: ${String(error)}`);
  expect(error.reason).toBe('BACKUP_INVALID');
  return error.message;
}

describe("a backup's file", () => {
  it('is read as it was written, however it is cut up on the way', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 20 }), fc.integer({ min: 1, max: 300 }), async (entries, size) => {
        const [first, ...others] = await read(cut(await written(entries), size));
        expect(first).toEqual({ kind: 'header', header: { ...HEADER, format: 1 } });
        expect(others).toEqual(entries.map((each) => ({ kind: 'entry', entry: each })));
      }),
      { numRuns: 50 },
    );
  });

  const ENTRIES = ['o/networks/a', 'o/networks/b'].map((key) =>
    BackupEntry.fromPartial({ key, value: Buffer.alloc(200, key) }),
  );

  it('is refused wherever it is cut off', async () => {
    const whole = await written(ENTRIES);
    for (let length = 0; length < whole.length; length += 1) {
      expect(await refusal(whole.subarray(0, length)), String(length)).toMatch(/cannot be restored/);
    }
  });

  it('is refused with any bit changed behind the header, and with anything behind its end', async () => {
    const whole = await written(ENTRIES);
    const header = await written([]);
    // From where the entries begin: a trailer of no entries is 2 + 32 bytes and its length (entries is 0, so absent).
    for (let at = header.length - 35; at < whole.length; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await refusal(changed);
    }
    await refusal(Buffer.concat([whole, Buffer.from([0])]));
    await refusal(Buffer.concat([whole, whole]));
  });

  it.each([
    ['nothing', Buffer.alloc(0), /it is empty/],
    ['a word', Buffer.from('hello\n'), /no backup of Weft, or the mere beginning of one/],
    ['text', Buffer.from('network web, 10.1.0.0/24\n'.repeat(9)), /it is no backup of Weft$/],
    ['zeros', Buffer.alloc(4096), /no backup of Weft/],
    ['a length without end', Buffer.alloc(64, 0xff), /no backup of Weft/],
    ['a length of gigabytes', Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]), /no backup of Weft/],
  ])('refuses %s', async (_, bytes, says) => {
    expect(await refusal(bytes)).toMatch(says);
  });

  it('is refused when a later Weft wrote it, and says which', async () => {
    const [length = 0, ...body] = await written([], HEADER);
    const later = BackupHeader.encode({ ...HEADER, format: 2, version: '9.0.0' }).finish();
    expect(later.length).toBe(length);
    const rest = Buffer.from(body).subarray(length);
    expect(await refusal(Buffer.concat([Buffer.from([length]), later, rest]))).toMatch(/format 2.*9\.0\.0/);
  });
});
