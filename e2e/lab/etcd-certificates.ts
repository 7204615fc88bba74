/** Certificates for a lab's own etcd cluster: a CA that ends with the lab, one pair for all members, one for clients. */
// @peculiar/x509 needs the metadata API in place before it loads.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type Extension,
} from '@peculiar/x509';
import type { Place } from './layout.js';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const YEAR_MS = 365 * 86_400_000;
const BOTH = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];

/** PEM files. */
export interface EtcdFiles {
  readonly ca: string;
  /** Key and certificate of the members, among themselves and towards clients. */
  readonly member: string;
  /** What a client shows: the name in it is `weft`. */
  readonly certificate: string;
  readonly key: string;
}

/** Where they are in a lab's directory. */
export function etcdFiles(labDirectory: string): EtcdFiles {
  const file = (name: string): string => path.join(labDirectory, 'etcd-tls', name);
  return { ca: file('ca.crt'), member: file('member.pem'), certificate: file('client.crt'), key: file('client.key') };
}

/** Makes them for members at these places. Equivalent to `openssl req -x509` and twice `openssl x509 -req -CA`. */
export async function makeEtcdCertificates(labDirectory: string, members: readonly Place[]): Promise<void> {
  const files = etcdFiles(labDirectory);
  const caKeys = await makeKeys();
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      ...{ serialNumber: '01', name: 'CN=etcd of a lab', signingAlgorithm: ALGORITHM, keys: caKeys, ...validity() },
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    },
    webcrypto,
  );
  const issue = async (serialNumber: string, name: string, extensions: Extension[]) => {
    const keys = await makeKeys();
    const certificate = await X509CertificateGenerator.create(
      {
        ...{ serialNumber, subject: `CN=${name}`, issuer: ca.subject, ...validity() },
        ...{ signingAlgorithm: ALGORITHM, signingKey: caKeys.privateKey, publicKey: keys.publicKey, extensions },
      },
      webcrypto,
    );
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return { certificate: certificate.toString('pem'), key: PemConverter.encode(key, PemConverter.PrivateKeyTag) };
  };
  const addresses = ['127.0.0.1', ...members.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])];
  const names = [
    { type: 'dns' as const, value: 'localhost' },
    ...addresses.map((value) => ({ type: 'ip' as const, value })),
  ];
  const [member, client] = await Promise.all([
    issue('02', 'member', [new ExtendedKeyUsageExtension(BOTH), new SubjectAlternativeNameExtension(names)]),
    issue('03', 'weft', [new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth])]),
  ]);
  mkdirSync(path.dirname(files.ca), { recursive: true, mode: 0o700 });
  const texts: readonly (readonly [file: string, text: string])[] = [
    [files.ca, ca.toString('pem')],
    [files.member, `${member.key}\n${member.certificate}\n`],
    [files.certificate, client.certificate],
    [files.key, client.key],
  ];
  for (const [file, text] of texts) writeFileSync(file, `${text}\n`, { mode: 0o600 });
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function validity(): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + YEAR_MS) };
}
