/** What an operator wants to know of etcd, asked over its JSON gateway. */
import { request } from 'node:https';
import type { EtcdStatus } from '../proto/gen/weft/v1/cluster.js';
import type { EtcdTls } from './store/etcd-connection.js';

export interface EtcdStatusOptions {
  readonly embedded: boolean;
  readonly endpoints: readonly string[];
  readonly tls: EtcdTls;
}

/** Milliseconds an endpoint gets to answer. */
const ANSWER_MS = 1_000;

/** The largest answer that is read. */
const ANSWER_BYTES = 65_536;

/**
 * The status as the first endpoint that answers has it; without version and size when none does, because whoever asks
 * then needs the rest all the more. Equivalent to `etcdctl endpoint status`.
 */
export async function etcdStatus(options: EtcdStatusOptions, signal: AbortSignal): Promise<EtcdStatus> {
  const { embedded, endpoints, tls } = options;
  for (const endpoint of endpoints) {
    try {
      const answer = await ask(endpoint, tls, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]));
      return { embedded, endpoints: [...endpoints], ...answer };
    } catch {
      signal.throwIfAborted();
    }
  }
  return { embedded, endpoints: [...endpoints], version: '', databaseSize: 0n };
}

function ask(
  endpoint: string,
  tls: EtcdTls,
  signal: AbortSignal,
): Promise<{ readonly version: string; readonly databaseSize: bigint }> {
  const url = new URL('/v3/maintenance/status', endpoint.includes('://') ? endpoint : `https://${endpoint}`);
  const { ca, cert, key, serverName } = tls;
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      ca,
      cert,
      key,
      signal,
      ...(serverName === undefined ? {} : { servername: serverName }),
    };
    const call = request(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
        if (text.length > ANSWER_BYTES) response.destroy(new Error('too long an answer'));
      });
      response.once('error', reject);
      response.once('end', () => {
        try {
          resolve(readStatus(text));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    call.once('error', reject);
    call.end('{}');
  });
}

/** Pure. Throws for anything but a status. */
export function readStatus(text: string): { readonly version: string; readonly databaseSize: bigint } {
  const status: unknown = JSON.parse(text);
  if (typeof status !== 'object' || status === null || !('version' in status)) throw new Error('no status');
  const size = 'dbSize' in status ? status.dbSize : '0';
  return { version: String(status.version), databaseSize: BigInt(String(size)) };
}
