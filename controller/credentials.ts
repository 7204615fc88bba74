/** The files a controller keeps and hands out: its own identity, and directories of credentials for others. */
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../core/daemon/directory.js';
import { readIfThere, replaceFile } from '../core/daemon/durable-file.js';
import { WeftError } from '../core/errors.js';
import { CONTROLLER_SERVER_NAME, TLS_FILES } from '../proto/channel.js';
import { issue, type CertificateAuthority, type KeyPair } from './identity/ca.js';
import { loadOrCreateCa } from './identity/ca-store.js';
import type { Principal } from './identity/principal.js';

/** Credentials of hosts and operators; renewing them is done by issuing anew. */
const CLIENT_DAYS = 3_650;

/** The server's certificate is made anew at each start. */
const SERVER_DAYS = 3_650;

/** The cluster's CA, made at the first start. Throws WeftError with a plain sentence where files cannot be written. */
export async function openCa(dataDir: string): Promise<CertificateAuthority> {
  return withFiles(dataDir, () => loadOrCreateCa(join(dataDir, 'ca')));
}

/** The certificate that this controller serves with; its name is what every client expects of a controller. */
export function issueServer(ca: CertificateAuthority, name: string): Promise<KeyPair> {
  const sans = { dns: [CONTROLLER_SERVER_NAME], ip: [] };
  return issue({ ca, subject: { role: 'controller', name }, sans, usage: 'both', days: SERVER_DAYS });
}

/** Puts the operator's credentials into DATA/admin, once. */
export async function ensureAdmin(ca: CertificateAuthority, dataDir: string): Promise<void> {
  const out = join(dataDir, 'admin');
  const there = await withFiles(out, () => readIfThere(join(out, TLS_FILES.certificate)));
  // The certificate is written last, so where it is, all of it is; that of another CA would open nothing.
  if (there !== undefined && (await readIfThere(join(out, TLS_FILES.ca))) === ca.cert) return;
  await issueClient({ ca, subject: { role: 'admin', name: 'admin' }, out });
}

/** Signs a directory of credentials: 0700, the files 0600. */
export async function issueClient(options: {
  readonly ca: CertificateAuthority;
  readonly subject: Principal;
  readonly out: string;
}): Promise<void> {
  const { ca, subject, out } = options;
  const pair = await issue({ ca, subject, sans: { dns: [], ip: [] }, usage: 'client', days: CLIENT_DAYS });
  await withFiles(out, async () => {
    makeDirectory(out, 0o700);
    await replaceFile(join(out, TLS_FILES.ca), ca.cert, 0o600);
    await replaceFile(join(out, TLS_FILES.key), pair.key, 0o600);
    await replaceFile(join(out, TLS_FILES.certificate), pair.cert, 0o600);
  });
}

/** The CA of a controller that has run here. Throws WeftError when there is none: `issue` never makes one. */
export async function existingCa(dataDir: string): Promise<CertificateAuthority> {
  const directory = join(dataDir, 'ca');
  return withFiles(directory, async () => {
    await access(join(directory, 'ca.pem'), constants.R_OK);
    return loadOrCreateCa(directory);
  });
}

/** Says in a sentence which file is in the way. */
async function withFiles<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) throw error;
    throw new WeftError({ reason: 'INTERNAL', message: `${place} cannot be used: ${error.message}` }, { cause: error });
  }
}
