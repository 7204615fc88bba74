/**
 * nftables through libnftables: each run is one transaction, done whole or not at all. The context's socket belongs to
 * one namespace.
 *
 * Commands are nft's JSON (libnftables-json(5)). nft 1.0.6's JSON cannot say two things the bridge guards need: a map
 * whose key is a raw payload expression (`typeof @nh,384,128 : ether daddr`), and so the lookup in it. For those there
 * is `runText`, for text that was rendered from branded, validated values only.
 */
import { step } from '../../core/fault.js';
import { nftFree, nftNew, nftRun, type NftContext } from './ffi.js';
import { inNetns } from './namespace.js';
import type { NetnsOptions } from './netlink/socket.js';

/** NFT_CTX_OUTPUT_... */
const HANDLE = 1 << 3;
const JSON_SYNTAX = 1 << 4;
/** Numbers instead of names for protocols, priorities and symbols, so that a listing does not depend on /etc/protocols. */
const NUMERIC = (1 << 7) | (1 << 8) | (1 << 9);

/** nft's address families. */
export type NftFamily = 'ip' | 'ip6' | 'inet' | 'arp' | 'bridge' | 'netdev';

/** One command or object of nft's JSON: `{ add: { table: { ... } } }`. */
export type NftObject = Readonly<Record<string, unknown>>;

/** A transaction nft refused; nothing of it was done. Match on `code`. */
export class NftablesError extends Error {
  override readonly name = 'NftablesError';
  /** The kernel's error (`ENOENT`); undefined when nft itself did not accept the commands. */
  readonly code: string | undefined;

  /**
   * @param operation what was tried
   * @param nftMessage nft's own words, with the place in the commands
   */
  constructor(
    readonly operation: string,
    readonly nftMessage: string,
  ) {
    super(`${operation}: ${nftMessage}`);
    this.code = kernelCode(nftMessage);
  }
}

/** strerror(3)'s words for what the kernel answers to nft. libnftables gives no number, so this is the one place that reads text. */
const KERNEL_WORDS: readonly (readonly [words: string, code: string])[] = [
  ['No such file or directory', 'ENOENT'],
  ['File exists', 'EEXIST'],
  ['Device or resource busy', 'EBUSY'],
  ['Operation not supported', 'EOPNOTSUPP'],
  ['Operation not permitted', 'EPERM'],
  ['Invalid argument', 'EINVAL'],
  ['No buffer space available', 'ENOBUFS'],
  ['Too many open files', 'EMFILE'],
  ['Numerical result out of range', 'ERANGE'],
];

function kernelCode(message: string): string | undefined {
  return KERNEL_WORDS.find(([words]) => message.includes(words))?.[1];
}

/** nftables in one namespace. */
export class Nftables implements Disposable {
  readonly #netns: string | undefined;
  #context: NftContext | undefined;

  private constructor(netns: string | undefined, context: NftContext) {
    this.#netns = netns;
    this.#context = context;
  }

  /** Opens a context in the namespace, the caller's own when `netns` is absent. Throws KernelError, and a plain Error when libnftables is not installed. */
  static open({ netns }: NetnsOptions = {}): Nftables {
    return new Nftables(netns, netns === undefined ? nftNew() : inNetns(netns, nftNew));
  }

  /** Runs commands as one transaction. Equivalent to `nft -j -f -`. Throws NftablesError. */
  run(commands: readonly NftObject[]): void {
    this.#run('nft transaction', JSON.stringify({ nftables: commands }), JSON_SYNTAX);
    step('netlink');
  }

  /** Runs a script in nft's language as one transaction; see above for when. Equivalent to `nft -f -`. Throws NftablesError. */
  runText(script: string): void {
    this.#run('nft transaction', script, 0);
    step('netlink');
  }

  /** The table and all in it, with handles; undefined when there is none. Equivalent to `nft -j -a list table FAMILY TABLE`. Throws NftablesError. */
  list(family: NftFamily, table: string): NftObject[] | undefined {
    return this.#list(`list table ${family} ${table}`, { table: { family, name: table } });
  }

  /** A set or map and its elements; undefined when there is none. Equivalent to `nft -j list set|map FAMILY TABLE NAME`. Throws NftablesError. */
  listSet(kind: 'set' | 'map', { family, table, name }: NftSetName): NftObject[] | undefined {
    return this.#list(`list ${kind} ${family} ${table} ${name}`, { [kind]: { family, table, name } });
  }

  #list(operation: string, what: NftObject): NftObject[] | undefined {
    try {
      const output = this.#run(
        operation,
        JSON.stringify({ nftables: [{ list: what }] }),
        JSON_SYNTAX | HANDLE | NUMERIC,
      );
      const { nftables } = JSON.parse(output) as { readonly nftables: readonly NftObject[] };
      return nftables.filter((object) => !('metainfo' in object));
    } catch (error) {
      if (error instanceof NftablesError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  #run(operation: string, commands: string, flags: number): string {
    const context = this.#context;
    if (context === undefined) throw new Error('nftables is closed');
    // libnftables may open further sockets while it runs (to look interfaces up), so it runs inside too.
    const run = (): ReturnType<typeof nftRun> => nftRun(context, commands, flags);
    const { ok, output, error } = this.#netns === undefined ? run() : inNetns(this.#netns, run);
    if (!ok) throw new NftablesError(operation, error.trim() === '' ? 'refused without a reason' : error.trim());
    return output;
  }

  [Symbol.dispose](): void {
    if (this.#context === undefined) return;
    nftFree(this.#context);
    this.#context = undefined;
  }
}

/** Where a set or map is. */
export interface NftSetName {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
}
