import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCa, isPair, issue, type CertificateAuthority, type CertificateUsage, type KeyPair } from './ca.js';
import { CERTIFICATE_FILE, loadOrCreateCa } from './ca-store.js';
import { principalOf, type Principal } from './principal.js';

const LOOPBACK = { dns: ['localhost'], ip: ['127.0.0.1', '::1'] };
const NONE = { dns: [], ip: [] };

const certificateFor = (ca: CertificateAuthority, subject: Principal, usage: CertificateUsage) =>
  issue({ ca, subject, sans: usage === 'client' ? NONE : LOOPBACK, usage, days: 30 });

/** One mutual TLS connection over loopback; what the server makes of the client, or the error that ended it. */
async function handshake(options: {
  server: KeyPair;
  serverBelieves: CertificateAuthority;
  client: Partial<KeyPair>;
  clientBelieves: CertificateAuthority;
  servername?: string;
}): Promise<Principal | undefined> {
  const server = createServer({
    ...options.server,
    ca: options.serverBelieves.cert,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({
    ...options.client,
    ca: options.clientBelieves.cert,
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    ...(options.servername === undefined ? {} : { servername: options.servername }),
  });
  try {
    return await new Promise((resolve, reject) => {
      server.once('secureConnection', (socket: TLSSocket) => {
        socket.on('error', reject);
        resolve(principalOf(socket.getPeerCertificate()));
        socket.destroy();
      });
      server.once('tlsClientError', reject);
      client.once('error', reject);
    });
  } finally {
    client.destroy();
    server.close();
  }
}

describe('the certificate authority', () => {
  let ca: CertificateAuthority;
  let other: CertificateAuthority;
  let server: KeyPair;
  beforeAll(async () => {
    ca = await createCa('test CA');
    other = await createCa('test CA');
    server = await certificateFor(ca, { role: 'controller', name: 'c1' }, 'server');
  });

  it.each<Principal>([
    { role: 'admin', name: 'root' },
    { role: 'host', name: '5e2a8d0c-6a5e-4a36-9a0a-0f4a8a1f2b3c' },
    { role: 'controller', name: 'c2, with: O=weft:admin / ünïcode' },
  ])('issues certificates by which $role "$name" is known after a handshake', async (subject) => {
    const client = await certificateFor(ca, subject, 'client');
    expect(await handshake({ server, serverBelieves: ca, client, clientBelieves: ca })).toEqual(subject);
  });

  it('lets a certificate for both directions accept and open connections', async () => {
    const both = await certificateFor(ca, { role: 'controller', name: 'c1' }, 'both');
    const who = await handshake({ server: both, serverBelieves: ca, client: both, clientBelieves: ca });
    expect(who).toEqual({ role: 'controller', name: 'c1' });
  });

  it('is not to be confused with a CA of the same name', async () => {
    const client = await certificateFor(ca, { role: 'host', name: 'h1' }, 'client');
    const foreign = await certificateFor(other, { role: 'admin', name: 'root' }, 'client');
    await expect(handshake({ server, serverBelieves: ca, client: foreign, clientBelieves: ca })).rejects.toThrow();
    await expect(handshake({ server, serverBelieves: ca, client, clientBelieves: other })).rejects.toThrow();
  });

  it('serves nobody without a certificate', async () => {
    await expect(handshake({ server, serverBelieves: ca, client: {}, clientBelieves: ca })).rejects.toThrow();
  });

  it('holds a certificate to its usage and its names', async () => {
    const client = await certificateFor(ca, { role: 'host', name: 'h1' }, 'client');
    const asServer = { server: client, serverBelieves: ca, client, clientBelieves: ca };
    await expect(handshake(asServer)).rejects.toThrow();
    const asClient = { server, serverBelieves: ca, client: server, clientBelieves: ca };
    await expect(handshake(asClient)).rejects.toThrow();
    await expect(
      handshake({ server, serverBelieves: ca, client, clientBelieves: ca, servername: 'elsewhere' }),
    ).rejects.toThrow('elsewhere');
  });

  it('lets no certificate it issued sign others', async () => {
    const admin = await certificateFor(ca, { role: 'admin', name: 'root' }, 'both');
    const forged = await certificateFor(admin, { role: 'admin', name: 'mallory' }, 'client');
    const chained = { ...forged, cert: forged.cert + admin.cert };
    await expect(handshake({ server, serverBelieves: ca, client: chained, clientBelieves: ca })).rejects.toThrow();
  });

  it.each(['', 'x'.repeat(65), 'new\nline'])('refuses the name %j', async (name) => {
    await expect(certificateFor(ca, { role: 'host', name }, 'client')).rejects.toThrow(RangeError);
  });

  it('makes pairs, and knows them from strangers', async () => {
    const a = await certificateFor(ca, { role: 'host', name: 'a' }, 'client');
    const b = await certificateFor(ca, { role: 'host', name: 'b' }, 'client');
    expect(isPair(a)).toBe(true);
    expect(isPair({ cert: a.cert, key: b.key })).toBe(false);
  });
});

describe('principalOf', () => {
  it.each([
    ['no certificate', undefined],
    ['an empty one, as node gives it for none', {}],
    ['no organization', { subject: { CN: 'h1' } }],
    ['no name', { subject: { O: 'weft:host' } }],
    ['an empty name', { subject: { O: 'weft:host', CN: '' } }],
    ['an unknown role', { subject: { O: 'weft:emperor', CN: 'h1' } }],
    ['the CA itself', { subject: { O: 'weft', CN: 'weft cluster CA' } }],
    ['two roles', { subject: { O: ['weft:host', 'weft:admin'], CN: 'h1' } }],
    ['two names', { subject: { O: 'weft:host', CN: ['h1', 'h2'] } }],
  ])('knows nobody by %s', (_, certificate) => {
    expect(principalOf(certificate)).toBeUndefined();
  });
});

describe('a CA in a directory', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'weft-ca-'));
  });
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it('is made once, whoever starts at the same time', async () => {
    const directory = join(root, 'together');
    const all = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateCa(directory)));
    expect(new Set(all.map(({ key }) => key)).size).toBe(1);
    expect(await loadOrCreateCa(directory)).toEqual(all[0]);
    expect((await readdir(directory)).sort()).toEqual(['ca.crt', 'ca.pem']);
  });

  it('keeps the key to its owner', async () => {
    const directory = join(root, 'modes');
    const { cert } = await loadOrCreateCa(directory);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, 'ca.pem'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(directory, CERTIFICATE_FILE), 'utf8')).toBe(cert);
  });

  it('is completed after a start that was killed at any point', async () => {
    const directory = join(root, 'killed');
    const ca = await loadOrCreateCa(directory);
    await rm(join(directory, CERTIFICATE_FILE));
    await writeFile(join(directory, '.left-over.tmp'), '-----BEGIN PRI');
    expect(await loadOrCreateCa(directory)).toEqual(ca);
    expect(await readFile(join(directory, CERTIFICATE_FILE), 'utf8')).toBe(ca.cert);
  });

  it('is never replaced when it cannot be read', async () => {
    const directory = join(root, 'damaged');
    const { cert } = await loadOrCreateCa(directory);
    const { key } = await createCa('another');
    for (const text of ['', cert, key + cert]) {
      await writeFile(join(directory, 'ca.pem'), text);
      await expect(loadOrCreateCa(directory)).rejects.toThrow('ca.pem holds no key with its certificate');
      expect(await readFile(join(directory, 'ca.pem'), 'utf8')).toBe(text);
    }
  });
});
