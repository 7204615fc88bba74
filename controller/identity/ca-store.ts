/** A CA kept in a directory: made once, whoever starts first and whatever dies meanwhile. */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createCa, isPair, type CertificateAuthority } from './ca.js';

/** Key and certificate in one file, so that there is no moment with one and without the other. 0600. */
const SECRET_FILE = 'ca.pem';

/** The certificate alone, for everyone who has to check others'. */
export const CERTIFICATE_FILE = 'ca.crt';

/**
 * The CA in `directory`; the first caller makes it (the directory 0700). Of callers at the same time all get the one
 * that won. Throws when what is there cannot be read: a CA is never replaced, its certificates would be void.
 */
export async function loadOrCreateCa(directory: string, commonName = 'weft cluster CA'): Promise<CertificateAuthority> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, SECRET_FILE);
  let text = await readIfThere(path);
  if (text === undefined) {
    const made = await createCa(commonName);
    await publishOnce(directory, path, made.key + made.cert);
    text = await readFile(path, 'utf8');
  }
  const ca = parse(text);
  if (ca === undefined || !isPair(ca)) throw new Error(`${path} holds no key with its certificate`);
  // Derived, so it is simply put right: a start that was killed may have left it out.
  const certificatePath = join(directory, CERTIFICATE_FILE);
  if ((await readIfThere(certificatePath)) !== ca.cert) {
    await withTemporary(directory, ca.cert, 0o644, (temporary) => rename(temporary, certificatePath));
  }
  return ca;
}

/** Puts the file there whole, or leaves the one that somebody else has put there. */
async function publishOnce(directory: string, path: string, text: string): Promise<void> {
  await withTemporary(directory, text, 0o600, async (temporary) => {
    try {
      // link(2), unlike rename(2), never replaces what is there.
      await link(temporary, path);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    }
  });
}

/** Writes `text` to a file of its own, safely on disk, for `place` to put where it belongs. */
async function withTemporary(
  directory: string,
  text: string,
  mode: number,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = join(directory, `.${randomUUID()}.tmp`);
  try {
    await using file = await open(temporary, 'wx', mode);
    await file.writeFile(text);
    await file.sync();
    await place(temporary);
    await using held = await open(directory, 'r');
    await held.sync();
  } finally {
    await rm(temporary, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function parse(text: string): CertificateAuthority | undefined {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)?.[0];
  const cert = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0];
  return key === undefined || cert === undefined ? undefined : { key, cert };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
