/** For tests of the kernel: fresh namespaces, and iproute2 in them as the oracle. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../../core/address.js';
import { parseMac, type Mac } from '../../core/mac.js';
import { createNetns, deleteNetns, listNetns, removeNetnsDirectory } from './namespace.js';

/** A directory of namespaces that ends with its test. */
export class TestNamespaces implements Disposable {
  readonly directory = mkdtempSync('/run/weft-kernel-test-');

  /** Makes a namespace; its path. */
  make(name: string): string {
    const path = join(this.directory, name);
    createNetns(path);
    return path;
  }

  [Symbol.dispose](): void {
    for (const { path } of listNetns(this.directory, '')) deleteNetns(path);
    removeNetnsDirectory(this.directory);
  }
}

/** Runs a command inside the namespace; its output. Throws when it fails. */
export function runIn(netns: string, argv: readonly string[], input = ''): string {
  return execFileSync('nsenter', [`--net=${netns}`, ...argv], { encoding: 'utf8', input, timeout: 10_000 });
}

/** The objects that `ip -j` or `bridge -j` prints. */
export function listIn(netns: string, argv: readonly string[]): Record<string, unknown>[] {
  return JSON.parse(runIn(netns, argv)) as Record<string, unknown>[];
}

/** The address in a literal that is certainly one. */
export function ip(text: string): IpAddress {
  return certain(text, parseIp(text));
}

/** The subnet in a literal that is certainly one. */
export function cidr(text: string): Cidr {
  return certain(text, parseCidr(text));
}

/** The MAC in a literal that is certainly one. */
export function mac(text: string): Mac {
  return certain(text, parseMac(text));
}

function certain<T>(text: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`a test's literal is wrong: ${text}`);
  return value;
}
