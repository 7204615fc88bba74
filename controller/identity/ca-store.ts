/** A CA kept in a directory: made once, whoever starts first and whatever dies meanwhile. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../core/daemon/directory.js';
import { createFile, readIfThere, replaceFile } from '../../core/daemon/durable-file.js';
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
  makeDirectory(directory, 0o700);
  const path = join(directory, SECRET_FILE);
  let text = await readIfThere(path);
  if (text === undefined) {
    const made = await createCa(commonName);
    await createFile(path, made.key + made.cert, 0o600);
    text = await readFile(path, 'utf8');
  }
  const ca = parse(text);
  if (ca === undefined || !isPair(ca)) throw new Error(`${path} holds no key with its certificate`);
  // Derived, so it is simply put right: a start that was killed may have left it out.
  const certificatePath = join(directory, CERTIFICATE_FILE);
  if ((await readIfThere(certificatePath)) !== ca.cert) await replaceFile(certificatePath, ca.cert, 0o644);
  return ca;
}

function parse(text: string): CertificateAuthority | undefined {
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)?.[0];
  const cert = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0];
  return key === undefined || cert === undefined ? undefined : { key, cert };
}
