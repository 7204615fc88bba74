/** A sandbox's own /etc/resolv.conf and /etc/hosts: files of the host that its programs get to see in their place. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { IpAddress } from '../../core/address.js';
import type { Problem } from '../../core/model.js';
import type { DesiredSandbox } from '../state/desired.js';

/** glibc looks at three name servers and no more. */
const NAMESERVERS_MAX = 3;

/** Where a sandbox's files are. */
export interface SandboxPaths {
  readonly resolvConf: string;
  readonly hosts: string;
}

/**
 * Pure. Names are asked for as they are typed: no host's search list, and one dot is enough for `name.network`. Where
 * the sandbox's networks have search domains or options, these stand there.
 */
export function renderResolvConf({
  nameservers,
  search,
  resolverOptions,
}: Pick<DesiredSandbox, 'nameservers' | 'search' | 'resolverOptions'>): string {
  const lines = nameservers.slice(0, NAMESERVERS_MAX).map((ip) => `nameserver ${ip}`);
  const domains = search.length === 0 ? ['.'] : search;
  const hasNdots = resolverOptions.some((option) => option.startsWith('ndots:'));
  const options = hasNdots ? resolverOptions : ['ndots:0', ...resolverOptions];
  return [...lines, `search ${domains.join(' ')}`, `options ${options.join(' ')}`, ''].join('\n');
}

/** Pure. */
export function renderHosts(name: string, addresses: readonly IpAddress[]): string {
  const own = addresses.map((ip) => `${ip}\t${name}`);
  return ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', ...own, ''].join('\n');
}

export class SandboxFiles {
  readonly #directory: string;
  /** What each file is known to say: most passes change none of them. */
  readonly #written = new Map<string, string>();
  #swept = new Set<string>();

  /** @param runDirectory the agent's: /run/weft */
  constructor(runDirectory: string) {
    this.#directory = path.join(runDirectory, 'sandboxes');
  }

  pathsOf(name: string): SandboxPaths {
    const directory = path.join(this.#directory, name);
    return { resolvConf: path.join(directory, 'resolv.conf'), hosts: path.join(directory, 'hosts') };
  }

  /** Brings every sandbox's files to what they should say, and removes those of others. Returns what failed. */
  update(sandboxes: ReadonlyMap<string, DesiredSandbox>): Problem[] {
    const problems: Problem[] = [];
    const attempt = (name: string, act: () => void): void => {
      try {
        act();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        problems.push({ object: `sandbox ${name}, files`, message });
      }
    };
    for (const sandbox of sandboxes.values()) {
      const { name, addresses } = sandbox;
      attempt(name, () => {
        const { resolvConf, hosts } = this.pathsOf(name);
        this.#write(resolvConf, renderResolvConf(sandbox));
        this.#write(hosts, renderHosts(name, addresses));
      });
    }
    if (problems.length === 0 && [...this.#swept].every((name) => sandboxes.has(name)) && this.#swept.size > 0) {
      for (const name of sandboxes.keys()) this.#swept.add(name);
      return problems;
    }
    for (const name of this.#present()) {
      if (sandboxes.has(name)) continue;
      attempt(name, () => {
        const { resolvConf, hosts } = this.pathsOf(name);
        for (const file of [resolvConf, hosts]) this.#written.delete(file);
        rmSync(path.dirname(hosts), { recursive: true, force: true });
      });
    }
    this.#swept = new Set(sandboxes.keys());
    return problems;
  }

  /** In place, not by renaming: programs in the sandbox have this very file mounted, and shall see the change. */
  #write(file: string, content: string): void {
    if (this.#written.get(file) === content) return;
    if (readOrNothing(file) !== content) {
      mkdirSync(path.dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(file, content, { mode: 0o644 });
    }
    this.#written.set(file, content);
  }

  #present(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch {
      return []; // none was ever made
    }
  }
}

function readOrNothing(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // written anew, which says why it cannot be
  }
}
