/** Asking an etcd of a lab from its own machine, whose loopback it listens on. */
import path from 'node:path';
import { checkoutDirectory } from './layout.js';
import type { NamespaceHost } from './namespace-host.js';

/** Everything of Weft in etcd lies between these two keys. */
export const WEFT_KEYS = { from: '/weft/v1/', to: '/weft/v10' } as const;

/**
 * On leases, there by design: addresses that rest, and who held them before, for a while after what they tell of; which
 * controllers and hosts are there, and who leads, for as long as they are.
 */
const PASSING_KEYS = /^\/weft\/v1\/(o\/(resting|controllers|alive|grace)|h|l)\//;

const TIMEOUT_MS = 10_000;

export interface EtcdQuery {
  readonly url: string;
  /** A PEM file with key and certificate. */
  readonly pair: string;
  readonly ca: string;
  readonly from: string;
  readonly to: string;
}

/** Keys from `from` up to `to`. Rejects with LabError. */
export async function listEtcdKeys(
  machine: NamespaceHost,
  { url, pair, ca, from, to }: EtcdQuery,
  signal?: AbortSignal,
): Promise<string[]> {
  const library = path.join(checkoutDirectory(), 'dist/e2e/lab/etcd-keys.js');
  const script = `import { main } from ${JSON.stringify(library)}; await main(process.argv.slice(1));`;
  const argv = [process.execPath, '--input-type=module', '-e', script, url, pair, ca, from, to];
  return JSON.parse(await machine.must(argv, { timeoutMs: TIMEOUT_MS, ...(signal && { signal }) })) as string[];
}

/** Those that do not go by themselves. */
export function lasting(keys: readonly string[]): string[] {
  return keys.filter((key) => !PASSING_KEYS.test(key));
}
