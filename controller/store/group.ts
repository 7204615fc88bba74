/** Transactions that can travel as one: which may share a group, and whose fault it is when the group fails. Pure. */
import type { CommitResult, Compare, KeyValue, Transaction } from './store.js';
import { MAX_GROUP_BYTES, placeOf } from './transaction.js';

/** Why a transaction is not in a group; undefined: it is. */
export type Objection = 'full' | 'clash';

type Failure = CommitResult & { readonly committed: false };

/** What a transaction touches: worked out once, and asked often. */
export interface Touched {
  readonly writes: readonly string[];
  /** Keys it looks at and does not write. */
  readonly reads: readonly string[];
  readonly readPrefixes: readonly string[];
  readonly droppedPrefixes: readonly string[];
  /** Compares of keys that it writes itself, which nobody can share; */
  readonly own: readonly Compare[];
  /** and all others. */
  readonly common: readonly Compare[];
  readonly operations: number;
  /** Of keys and values, as the store counts them. */
  readonly bytes: number;
}

/** What travels: `touched` is that of its transaction. */
export interface Traveller {
  readonly transaction: Transaction;
  readonly touched: Touched;
}

export function touchedBy({ compares, puts, deletes, deletePrefixes = [] }: Transaction): Touched {
  const writes = puts.map(({ key }) => key);
  for (const key of deletes) writes.push(key);
  let bytes = 0;
  for (const key of writes) bytes += Buffer.byteLength(key);
  for (const { value } of puts) bytes += value.length;
  for (const prefix of deletePrefixes) bytes += Buffer.byteLength(prefix);
  const reads: string[] = [];
  const readPrefixes: string[] = [];
  const own: Compare[] = [];
  const common: Compare[] = [];
  for (const compare of compares) {
    bytes += Buffer.byteLength(placeOf(compare));
    if (isRange(compare)) {
      readPrefixes.push(compare.prefix);
      common.push(compare);
    } else if (writes.includes(compare.key)) {
      own.push(compare);
    } else {
      reads.push(compare.key);
      common.push(compare);
    }
  }
  const operations = writes.length + deletePrefixes.length;
  return { writes, reads, readPrefixes, droppedPrefixes: deletePrefixes, own, common, operations, bytes };
}

/** What everything on its way writes. No two of it write the same: one would have waited for the other. */
export class Writing {
  readonly #keys = new Set<string>();
  readonly #droppedPrefixes: string[] = [];

  add(members: readonly Traveller[]): void {
    for (const { touched } of members) {
      for (const key of touched.writes) this.#keys.add(key);
      this.#droppedPrefixes.push(...touched.droppedPrefixes);
    }
  }

  /** Takes out what was put in. */
  delete(members: readonly Traveller[]): void {
    for (const { touched } of members) {
      for (const key of touched.writes) this.#keys.delete(key);
      for (const prefix of touched.droppedPrefixes) {
        this.#droppedPrefixes.splice(this.#droppedPrefixes.indexOf(prefix), 1);
      }
    }
  }

  /** Whether something here writes what the transaction looks at or writes. */
  changesFor({ writes, reads, readPrefixes, droppedPrefixes }: Touched): boolean {
    for (const key of writes) if (this.#writes(key)) return true;
    for (const key of reads) if (this.#writes(key)) return true;
    return (
      readPrefixes.some((prefix) => this.#writesUnder(prefix)) ||
      droppedPrefixes.some((prefix) => this.#writesUnder(prefix))
    );
  }

  #writes(key: string): boolean {
    return this.#keys.has(key) || startsWithAny(key, this.#droppedPrefixes);
  }

  #writesUnder(prefix: string): boolean {
    for (const key of this.#keys) if (key.startsWith(prefix)) return true;
    return this.#droppedPrefixes.some((dropped) => overlap(dropped, prefix));
  }
}

/**
 * Keys that transactions write and look at. Two that touch one key (both write it, or one looks at what the other
 * writes) must not be committed as one: all compares are made before any write, so each could pass on what the other
 * is just taking away.
 */
export class Footprint {
  /** Whether a key that is touched is written. */
  readonly #keys = new Map<string, boolean>();
  readonly #readPrefixes: string[] = [];
  readonly #droppedPrefixes: string[] = [];

  add({ writes, reads, readPrefixes, droppedPrefixes }: Touched): void {
    for (const key of reads) if (!this.#keys.has(key)) this.#keys.set(key, false);
    for (const key of writes) this.#keys.set(key, true);
    this.#readPrefixes.push(...readPrefixes);
    this.#droppedPrefixes.push(...droppedPrefixes);
  }

  /** Whether the transaction touches a key that something here touches, and one of the two writes it. */
  clashesWith({ writes, reads, readPrefixes, droppedPrefixes }: Touched): boolean {
    for (const key of writes) if (this.#touches(key)) return true;
    for (const key of reads) if (this.#writes(key)) return true;
    return (
      readPrefixes.some((prefix) => this.#writesUnder(prefix)) ||
      droppedPrefixes.some((prefix) => this.#writesUnder(prefix) || this.#readsUnder(prefix))
    );
  }

  #writes(key: string): boolean {
    return this.#keys.get(key) === true || startsWithAny(key, this.#droppedPrefixes);
  }

  #writesUnder(prefix: string): boolean {
    for (const [key, written] of this.#keys) if (written && key.startsWith(prefix)) return true;
    return this.#droppedPrefixes.some((dropped) => overlap(dropped, prefix));
  }

  #touches(key: string): boolean {
    return this.#keys.has(key) || startsWithAny(key, this.#droppedPrefixes) || startsWithAny(key, this.#readPrefixes);
  }

  #readsUnder(prefix: string): boolean {
    for (const key of this.#keys.keys()) if (key.startsWith(prefix)) return true;
    return this.#readPrefixes.some((read) => overlap(read, prefix));
  }
}

/** Transactions on their way as one. */
export class Group<Member extends Traveller> {
  readonly members: Member[] = [];
  readonly #footprint = new Footprint();
  readonly #fence: Compare | undefined;
  readonly #operationsMax: number;
  readonly #compares: Compare[] = [];
  /** By what they look at: members that compare the same share one. */
  readonly #common = new Map<string, Compare[]>();
  #operations = 0;
  #bytes = 0;

  /** `fence`: a compare that every group makes, on behalf of no member. `operationsMax`: see Store.operationsMax. */
  constructor(fence: Compare | undefined, operationsMax: number) {
    this.#fence = fence;
    this.#operationsMax = operationsMax;
    if (fence !== undefined) this.#share(fence);
  }

  /** Takes a member in, unless it would touch what another does, or be too much. The first is always taken. */
  add(member: Member): Objection | undefined {
    const { touched } = member;
    const { own, common } = touched;
    const shareable = common.filter((compare) => !this.#has(compare));
    if (this.members.length > 0) {
      if (
        this.#compares.length + own.length + shareable.length > this.#operationsMax ||
        this.#operations + touched.operations > this.#operationsMax ||
        this.#bytes + touched.bytes > MAX_GROUP_BYTES
      ) {
        return 'full';
      }
      if (this.#footprint.clashesWith(touched)) return 'clash';
    }
    for (const compare of own) this.#compares.push(compare);
    for (const compare of shareable) this.#share(compare);
    this.#operations += touched.operations;
    this.#bytes += touched.bytes;
    this.#footprint.add(touched);
    this.members.push(member);
    return undefined;
  }

  /** Everything the members ask for. */
  transaction(): Transaction {
    const puts: Transaction['puts'][number][] = [];
    const deletes: string[] = [];
    const deletePrefixes: string[] = [];
    for (const { transaction } of this.members) {
      for (const put of transaction.puts) puts.push(put);
      for (const key of transaction.deletes) deletes.push(key);
      if (transaction.deletePrefixes !== undefined) deletePrefixes.push(...transaction.deletePrefixes);
    }
    return { compares: this.#compares, puts, deletes, ...(deletePrefixes.length === 0 ? {} : { deletePrefixes }) };
  }

  /** Whether it was the fence that did not hold; then nothing is said of any member. */
  isFenced({ failed }: Failure): boolean {
    const fence = this.#fence;
    return fence !== undefined && failed.some((compare) => same(compare, fence));
  }

  /** The members whose compares did not hold, each with its own part of the failure. */
  losers({ revision, failed, found }: Failure): ReadonlyMap<Member, Failure> {
    const losers = new Map<Member, Failure>();
    for (const member of this.members) {
      const own = member.transaction.compares.filter((compare) => failed.some((each) => same(compare, each)));
      if (own.length === 0) continue;
      const seen = found.filter((entry) => own.some((compare) => looksAt(compare, entry)));
      losers.set(member, { committed: false, revision, failed: own, found: seen });
    }
    return losers;
  }

  #share(compare: Compare): void {
    this.#compares.push(compare);
    const place = placeOf(compare);
    const others = this.#common.get(place);
    if (others === undefined) this.#common.set(place, [compare]);
    else others.push(compare);
  }

  #has(compare: Compare): boolean {
    return this.#common.get(placeOf(compare))?.some((each) => same(each, compare)) === true;
  }
}

function isRange(compare: Compare): compare is Extract<Compare, { readonly prefix: string }> {
  return 'prefix' in compare;
}

function looksAt(compare: Compare, { key, modRevision }: KeyValue): boolean {
  if (!isRange(compare)) return key === compare.key;
  return key.startsWith(compare.prefix) && (compare.kind === 'emptyPrefix' || modRevision > compare.revision);
}

/** Whether two compares say the same. */
function same(one: Compare, other: Compare): boolean {
  if (one === other) return true;
  if (one.kind !== other.kind || placeOf(one) !== placeOf(other)) return false;
  if (one.kind === 'unchanged' && other.kind === 'unchanged') return one.modRevision === other.modRevision;
  if (one.kind === 'notNewer' && other.kind === 'notNewer') return one.revision === other.revision;
  return true;
}

function startsWithAny(key: string, prefixes: readonly string[]): boolean {
  return prefixes.length > 0 && prefixes.some((prefix) => key.startsWith(prefix));
}

function overlap(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}
