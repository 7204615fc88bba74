/** Transactions that can travel as one: which may share a group, and whose fault it is when the group fails. Pure. */
import type { CommitResult, Compare, KeyValue, Transaction } from './store.js';
import { MAX_OPERATIONS, MAX_TRANSACTION_BYTES, placeOf } from './transaction.js';

/** Why a transaction is not in a group; undefined: it is. */
export type Objection = 'full' | 'clash';

type Failure = CommitResult & { readonly committed: false };

/**
 * Keys that transactions write and look at. Two that touch one key (both write it, or one looks at what the other
 * writes) must not be committed as one: all compares are made before any write, so each could pass on what the other
 * is just taking away.
 */
export class Footprint {
  readonly #read = new Set<string>();
  readonly #written = new Set<string>();
  readonly #readPrefixes: string[] = [];
  readonly #droppedPrefixes: string[] = [];

  add({ compares, puts, deletes, deletePrefixes = [] }: Transaction): void {
    for (const compare of compares) {
      if (isRange(compare)) this.#readPrefixes.push(compare.prefix);
      else this.#read.add(compare.key);
    }
    for (const { key } of puts) this.#written.add(key);
    for (const key of deletes) this.#written.add(key);
    this.#droppedPrefixes.push(...deletePrefixes);
  }

  /** Whether something here writes what the transaction looks at or writes. */
  changesFor({ compares, puts, deletes, deletePrefixes = [] }: Transaction): boolean {
    return (
      compares.some((compare) => (isRange(compare) ? this.#writesUnder(compare.prefix) : this.#writes(compare.key))) ||
      puts.some(({ key }) => this.#writes(key)) ||
      deletes.some((key) => this.#writes(key)) ||
      deletePrefixes.some((prefix) => this.#writesUnder(prefix))
    );
  }

  /** Whether the transaction touches a key that something here touches, and one of the two writes it. */
  clashesWith(transaction: Transaction): boolean {
    const { puts, deletes, deletePrefixes = [] } = transaction;
    return (
      this.changesFor(transaction) ||
      puts.some(({ key }) => this.#reads(key)) ||
      deletes.some((key) => this.#reads(key)) ||
      deletePrefixes.some((prefix) => this.#readsUnder(prefix))
    );
  }

  #writes(key: string): boolean {
    return this.#written.has(key) || this.#droppedPrefixes.some((prefix) => key.startsWith(prefix));
  }

  #writesUnder(prefix: string): boolean {
    return someUnder(this.#written, prefix) || this.#droppedPrefixes.some((dropped) => overlap(dropped, prefix));
  }

  #reads(key: string): boolean {
    return this.#read.has(key) || this.#readPrefixes.some((prefix) => key.startsWith(prefix));
  }

  #readsUnder(prefix: string): boolean {
    return someUnder(this.#read, prefix) || this.#readPrefixes.some((read) => overlap(read, prefix));
  }
}

/** Transactions on their way as one. */
export class Group<Member extends { readonly transaction: Transaction }> {
  readonly members: Member[] = [];
  readonly footprint = new Footprint();
  readonly #fence: Compare | undefined;
  /** By what they say: members that compare the same share one. */
  readonly #compares = new Map<string, Compare>();
  #operations = 0;
  #bytes = 0;

  /** `fence`: a compare that every group makes, on behalf of no member. */
  constructor(fence: Compare | undefined) {
    this.#fence = fence;
    if (fence === undefined) return;
    this.#compares.set(textOf(fence), fence);
    this.#bytes = Buffer.byteLength(placeOf(fence));
  }

  /** Takes a member in, unless it would touch what another does, or be too much. The first is always taken. */
  add(member: Member): Objection | undefined {
    const { transaction } = member;
    const { compares, puts, deletes, deletePrefixes = [] } = transaction;
    const added = compares.map((compare) => [textOf(compare), compare] as const).filter(([text]) => !this.#has(text));
    const operations = puts.length + deletes.length + deletePrefixes.length;
    const bytes = sizeOf(transaction);
    if (this.members.length > 0) {
      if (
        this.#compares.size + added.length > MAX_OPERATIONS ||
        this.#operations + operations > MAX_OPERATIONS ||
        this.#bytes + bytes > MAX_TRANSACTION_BYTES
      ) {
        return 'full';
      }
      if (this.footprint.clashesWith(transaction)) return 'clash';
    }
    for (const [text, compare] of added) this.#compares.set(text, compare);
    this.#operations += operations;
    this.#bytes += bytes;
    this.footprint.add(transaction);
    this.members.push(member);
    return undefined;
  }

  /** Everything the members ask for. */
  transaction(): Transaction {
    const all = this.members.map(({ transaction }) => transaction);
    const deletePrefixes = all.flatMap(({ deletePrefixes: prefixes = [] }) => prefixes);
    return {
      compares: [...this.#compares.values()],
      puts: all.flatMap(({ puts }) => puts),
      deletes: all.flatMap(({ deletes }) => deletes),
      ...(deletePrefixes.length === 0 ? {} : { deletePrefixes }),
    };
  }

  /** Whether it was the fence that did not hold; then nothing is said of any member. */
  isFenced({ failed }: Failure): boolean {
    const fence = this.#fence === undefined ? undefined : textOf(this.#fence);
    return failed.some((compare) => textOf(compare) === fence);
  }

  /** The members whose compares did not hold, each with its own part of the failure. */
  losers({ revision, failed, found }: Failure): ReadonlyMap<Member, Failure> {
    const texts = new Set(failed.map(textOf));
    const losers = new Map<Member, Failure>();
    for (const member of this.members) {
      const own = member.transaction.compares.filter((compare) => texts.has(textOf(compare)));
      if (own.length === 0) continue;
      const seen = found.filter((entry) => own.some((compare) => looksAt(compare, entry)));
      losers.set(member, { committed: false, revision, failed: own, found: seen });
    }
    return losers;
  }

  #has(text: string): boolean {
    return this.#compares.has(text);
  }
}

function isRange(compare: Compare): compare is Extract<Compare, { readonly prefix: string }> {
  return 'prefix' in compare;
}

function looksAt(compare: Compare, { key, modRevision }: KeyValue): boolean {
  if (!isRange(compare)) return key === compare.key;
  return key.startsWith(compare.prefix) && (compare.kind === 'emptyPrefix' || modRevision > compare.revision);
}

/** What a compare says: the same text for the same condition. */
function textOf(compare: Compare): string {
  switch (compare.kind) {
    case 'unchanged':
      return `= ${String(compare.modRevision)} ${compare.key}`;
    case 'notNewer':
      return `< ${String(compare.revision)} ${compare.prefix}`;
    case 'absent':
    case 'present':
      return `${compare.kind} ${compare.key}`;
    case 'emptyPrefix':
      return `${compare.kind} ${compare.prefix}`;
  }
}

/** Bytes of keys and values, as the store counts them. */
function sizeOf({ compares, puts, deletes, deletePrefixes = [] }: Transaction): number {
  let bytes = 0;
  for (const compare of compares) bytes += Buffer.byteLength(placeOf(compare));
  for (const { key, value } of puts) bytes += Buffer.byteLength(key) + value.length;
  for (const key of deletes) bytes += Buffer.byteLength(key);
  for (const prefix of deletePrefixes) bytes += Buffer.byteLength(prefix);
  return bytes;
}

function someUnder(keys: Iterable<string>, prefix: string): boolean {
  for (const key of keys) if (key.startsWith(prefix)) return true;
  return false;
}

function overlap(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}
