/**
 * The certificate authority: P-256 keys, and certificates whose subject says who somebody is (O=`weft:<role>`,
 * CN=`<name>`), so that every TLS connection has a Principal.
 */
// @peculiar/x509 needs the metadata API in place before it loads.
import 'reflect-metadata';
import { X509Certificate as PlainCertificate, createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type JsonGeneralNames,
} from '@peculiar/x509';
import { organizationOf, type Principal } from './principal.js';

/** PEM texts; the key is PKCS #8 and secret. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A CA's certificate and key. */
export type CertificateAuthority = KeyPair;

/** What a certificate is to be used for: to accept connections, to open them, or both. */
export type CertificateUsage = 'server' | 'client' | 'both';

export interface IssueOptions {
  readonly ca: CertificateAuthority;
  /** Role and name together are the certificate's subject. */
  readonly subject: Principal;
  /** What the owner is reached under; clients check it. */
  readonly sans: { readonly dns: readonly string[]; readonly ip: readonly string[] };
  readonly usage: CertificateUsage;
  readonly days: number;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
const CA_DAYS = 3_650;

/** Certificates begin this much in the past: the clocks of hosts differ a little. */
const CLOCK_SKEW_MS = 300_000;

/** X.520's upper bound for a common name and an organization, in characters. */
const NAME_MAX = 64;

const USAGES: Readonly<Record<CertificateUsage, string[]>> = {
  server: [ExtendedKeyUsage.serverAuth],
  client: [ExtendedKeyUsage.clientAuth],
  both: [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth],
};

/** A new CA for ten years, which can sign certificates but no other CAs. */
export async function createCa(commonName: string): Promise<CertificateAuthority> {
  assertName(commonName);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: newSerial(),
      name: [{ O: ['weft'] }, { CN: [commonName] }],
      ...validity(CA_DAYS),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return toPem(certificate, keys.privateKey);
}

/** A new key and its certificate. Throws RangeError for a name that does not fit a subject. */
export async function issue(options: IssueOptions): Promise<KeyPair> {
  const { ca, subject, sans, usage, days } = options;
  assertName(subject.name);
  const issuer = new X509Certificate(ca.cert);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names: JsonGeneralNames = [
    ...sans.dns.map((value) => ({ type: 'dns' as const, value })),
    ...sans.ip.map((value) => ({ type: 'ip' as const, value })),
  ];
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      subject: [{ O: [organizationOf(subject.role)] }, { CN: [subject.name] }],
      issuer: issuer.subjectName.toJSON(),
      ...validity(days),
      signingAlgorithm: ALGORITHM,
      signingKey: await importKey(ca.key),
      publicKey: keys.publicKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(USAGES[usage]),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
      ],
    },
    webcrypto,
  );
  return toPem(certificate, keys.privateKey);
}

/** Whether key and certificate belong together; throws when either cannot be read. */
export function isPair({ cert, key }: KeyPair): boolean {
  return new PlainCertificate(cert).checkPrivateKey(createPrivateKey(key));
}

/** 127 random bits: positive, as RFC 5280 asks, and never met twice. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - CLOCK_SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
}

function assertName(name: string): void {
  if (name === '' || name.length > NAME_MAX || /\p{Cc}/u.test(name)) {
    throw new RangeError(`not a name for a certificate (1 to ${String(NAME_MAX)} characters): ${JSON.stringify(name)}`);
  }
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const [der] = PemConverter.decode(pem);
  if (der === undefined) throw new RangeError('there is no key in this PEM text');
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

async function toPem(certificate: X509Certificate, privateKey: webcrypto.CryptoKey): Promise<KeyPair> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: `${PemConverter.encode(der, PemConverter.PrivateKeyTag)}\n`,
  };
}
