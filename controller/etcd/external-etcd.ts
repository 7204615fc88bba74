/** An etcd that somebody else runs: the credentials for it, and whether it answers, before anything is built on it. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { WeftError } from '../../core/errors.js';
import { NoAnswer, readPages, reasonOf } from './etcd-pages.js';
import type { ExternalEtcd } from '../options.js';
import { EtcdConnection } from '../store/etcd-connection.js';
import type { EtcdTls } from '../store/etcd-tls.js';
import { StoreRefused, StoreUnavailable } from '../store/store.js';

/** Milliseconds in which etcd has to answer at the start: longer than an election of its leader takes. */
const ANSWER_MS = 6_000;

/**
 * The credentials for it, once it has answered with them. Throws WeftError with what is wrong in a sentence: files that
 * cannot be read or are none, and for each endpoint why it did not answer.
 */
export async function openExternalEtcd(options: ExternalEtcd, signal: AbortSignal): Promise<EtcdTls> {
  const tls = await readTls(options);
  const { endpoints } = options;
  using connection = new EtcdConnection({ endpoints, tls, patienceMs: ANSWER_MS });
  try {
    // A linearizable read: answered only where there is a leader. Equivalent to `etcdctl get /`.
    await connection.repeat((kv, call) => kv.range({ key: Buffer.from('/') }, call), signal);
    return tls;
  } catch (error) {
    if (error instanceof StoreRefused) throw unusable(error.message, error);
    if (!(error instanceof StoreUnavailable)) throw error;
    const reasons = await Promise.all(
      endpoints.map(async (each) => (await whyNoAnswer(each, tls, signal)) ?? error.message),
    );
    const told = [...new Set(reasons)].map((reason) => {
      const there = endpoints.filter((_, index) => reasons[index] === reason);
      return `${there.join(', ')}: ${reason}`;
    });
    throw unusable(`etcd cannot be used at ${told.join('; at ')}`, error);
  }
}

/** Why an endpoint shows these credentials nothing, in the words of whoever says no; undefined when it does. */
async function whyNoAnswer(endpoint: string, tls: EtcdTls, signal: AbortSignal): Promise<string | undefined> {
  try {
    await readPages(endpoint, ['/version'], { tls, signal });
    return undefined;
  } catch (error) {
    if (error instanceof NoAnswer) return error.message;
    throw error;
  }
}

async function readTls({ caFile, certFile, keyFile }: ExternalEtcd): Promise<EtcdTls> {
  const [ca, cert, key] = await Promise.all([read(caFile), read(certFile), read(keyFile)]);
  for (const [file, text] of [
    [caFile, ca],
    [certFile, cert],
  ] as const) {
    check(`${file} holds no certificate`, () => new X509Certificate(text));
  }
  check(`${certFile} and ${keyFile} are no pair`, () => createSecureContext({ cert, key }));
  return { ca, cert, key };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw wrong(`${file} cannot be read`, error);
  }
}

function check(what: string, parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    throw wrong(what, error);
  }
}

function wrong(what: string, cause: unknown): WeftError {
  return new WeftError({ reason: 'ARGUMENT_INVALID', message: `${what}: ${reasonOf(cause)}` }, { cause });
}

function unusable(message: string, cause: Error): WeftError {
  return new WeftError({ reason: 'STORE_UNAVAILABLE', message }, { cause });
}
