/** Where the other controllers reach this one. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { RunOptions } from './options.js';

/** What stands for every address of the machine. */
const ANY = new Set(['::', '0.0.0.0', '::0']);

/**
 * What was asked to be advertised; else where it listens; else, where that is everywhere, the machine's first address
 * that is neither loopback nor link-local. `port`: the one it has, where none was named.
 */
export function advertised({ advertise, listen }: Pick<RunOptions, 'advertise' | 'listen'>, port: number): string {
  if (advertise !== undefined) return join(advertise.host, advertise.port);
  return join(ANY.has(listen.host) ? (ownAddress() ?? '127.0.0.1') : listen.host, port);
}

function ownAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return addresses.find(({ internal, address }) => !internal && !address.startsWith('fe80:'))?.address;
}

function join(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}
