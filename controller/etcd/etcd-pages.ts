/**
 * The pages that every etcd serves beside its API. (Its JSON gateway does not work together with client certificates.)
 */
import { request } from 'node:https';
import { anySignal } from '../../core/lifetime.js';
import type { EtcdTls } from '../store/etcd-tls.js';

/** Milliseconds an endpoint gets to answer with a page. */
const ANSWER_MS = 1_000;

/** The largest page that is read; metrics are some 150 kB. */
const PAGE_LENGTH = 4 * 1024 * 1024;

/** An endpoint that did not answer with what was asked of it. The message says why, in the words of whoever says no. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/**
 * Several pages of one endpoint, within a second. Rejects with NoAnswer, and with the signal's reason. Equivalent to
 * `curl --cacert --cert --key URL...`.
 */
export async function readPages<const Paths extends readonly string[]>(
  endpoint: string,
  paths: Paths,
  { tls, signal }: { readonly tls: EtcdTls; readonly signal: AbortSignal },
): Promise<{ readonly [Index in keyof Paths]: string }> {
  const tooLate = AbortSignal.timeout(ANSWER_MS);
  const within = anySignal(signal, tooLate);
  try {
    const pages = await Promise.all(paths.map((path) => readPage(new URL(path, endpoint), tls, within)));
    return pages as unknown as { readonly [Index in keyof Paths]: string };
  } catch (error) {
    signal.throwIfAborted();
    throw new NoAnswer(tooLate.aborted ? 'no answer' : whyNot(error), { cause: error });
  }
}

function readPage(url: URL, tls: EtcdTls, signal: AbortSignal): Promise<string> {
  const { ca, cert, key } = tls;
  // No connection is kept: an idle one would hold up both daemons' ends.
  const options = { agent: false, ca, cert, key, signal };
  return new Promise((resolve, reject) => {
    const call = request(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.length > PAGE_LENGTH) response.destroy(new Error('too long a page'));
      });
      response.once('error', reject);
      response.once('end', () => {
        resolve(text);
      });
    });
    call.once('error', reject);
    call.end();
  });
}

function whyNot(error: unknown): string {
  const refused = error instanceof Error && 'code' in error && /ALERT.*(CERT|CA$)/.test(String(error.code));
  return refused ? `it does not accept our certificate (${reasonOf(error)})` : reasonOf(error);
}

/** What an error says; of OpenSSL's only the words, without the places in its source. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
}
