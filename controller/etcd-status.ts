/**
 * What an operator wants to know of etcd, read from the pages that every etcd serves beside its API. (Its JSON gateway
 * does not work together with client certificates.)
 */
import { request } from 'node:https';
import { withDeadline } from '../core/lifetime.js';
import type { EtcdStatus } from '../proto/gen/weft/v1/cluster.js';
import type { EtcdTls } from './store/etcd-tls.js';

export interface EtcdStatusOptions {
  readonly embedded: boolean;
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
}

/** Milliseconds an endpoint gets to answer with a page. */
export const ANSWER_MS = 1_000;

/** The largest page that is read; metrics are some 150 kB. */
const PAGE_LENGTH = 4 * 1024 * 1024;

/**
 * The status as the first endpoint that answers has it; without version and size when none does, because whoever asks
 * then needs the rest all the more. Equivalent to `etcdctl endpoint status`.
 */
export async function etcdStatus(options: EtcdStatusOptions, signal: AbortSignal): Promise<EtcdStatus> {
  const { embedded, endpoints, tls } = options;
  for (const endpoint of endpoints) {
    try {
      const within = withDeadline(ANSWER_MS, signal);
      const [version, metrics] = await Promise.all([
        readPage(new URL('/version', endpoint), tls, within),
        readPage(new URL('/metrics', endpoint), tls, within),
      ]);
      return { embedded, endpoints: [...endpoints], ...readStatus(version, metrics) };
    } catch {
      signal.throwIfAborted();
    }
  }
  return { embedded, endpoints: [...endpoints], version: '', databaseSize: 0n };
}

/** Pure. Version and bytes on disk, from etcd's `/version` and `/metrics`. Throws for anything else. */
function readStatus(version: string, metrics: string): { readonly version: string; readonly databaseSize: bigint } {
  const answer: unknown = JSON.parse(version);
  const server =
    typeof answer === 'object' && answer !== null && 'etcdserver' in answer ? answer.etcdserver : undefined;
  const size = /^etcd_mvcc_db_total_size_in_bytes (\S+)$/m.exec(metrics)?.[1];
  if (typeof server !== 'string' || size === undefined) throw new Error('not the pages of an etcd');
  return { version: server, databaseSize: BigInt(Math.round(Number(size))) };
}

/** One of the pages of etcd; rejects with the error of the connection. Equivalent to `curl --cacert --cert --key URL`. */
export function readPage(url: URL, tls: EtcdTls, signal: AbortSignal): Promise<string> {
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
