/**
 * Commits in groups. What is asked for while transactions are on their way waits, and then travels together in the
 * next one: one fsync of the store for up to a hundred of them. There is no timer: with nothing on its way, a transaction
 * leaves at once. Each caller is answered as if its transaction had travelled alone.
 */
import { asError } from '../../core/errors.js';
import { Departures } from './departures.js';
import { Footprint, Group, Writing, touchedBy, type Traveller } from './group.js';
import { StoreFull, StoreRefused, type CommitResult, type Compare, type Store, type Transaction } from './store.js';
import { MAX_OPERATIONS } from './transaction.js';

export interface GroupCommitOptions {
  readonly store: Pick<Store, 'commit' | 'operationsMax'>;
  /** A compare that every group makes besides its members'; asked for anew each time. */
  readonly fence?: () => Compare;
  /** Awaited once for each group that was committed, before its members are answered. */
  readonly committed?: (revision: bigint) => Promise<void>;
  /** Groups on their way at once. */
  readonly flights?: number;
}

/** The fence did not hold: the store was taken over for something else, and nothing was written. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

export interface CommitOptions {
  readonly signal: AbortSignal;
  /** To travel in no group: what is said of the commit is then said of this transaction alone. */
  readonly alone?: boolean;
}

interface Member extends Traveller {
  readonly alone: boolean;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: Error) => void;
  /** Its caller has gone. */
  left: boolean;
}

/**
 * Eight: etcd takes several into one fsync, and is never idle while the next are decided and encoded. Measured with 256
 * commands at once (bench/ipam-groups.ts): 2 groups on their way 5,600 endpoints/s, 4 6,500, 8 7,300, 16 6,900.
 */
const FLIGHTS = 8;

/** How many of the queue are passed over because they touch what is on its way, before the rest has to wait too. */
const PASSED_OVER = 256;

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  readonly #departures = new Departures();
  readonly #flights = new Set<Group<Member>>();
  /** By all that is on its way. */
  readonly #writing = new Writing();
  #queue: Member[] = [];
  #woken = false;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /**
   * As Store.commit. Of transactions that are asked for at once none may rely on another: which is first is not said.
   * Throws Fenced besides; and StoreFull for all of a group, where perhaps only others in it were too much.
   */
  commit(transaction: Transaction, { signal, alone = false }: CommitOptions): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const leaving = this.#departures.notice(signal, (reason) => {
        member.left = true;
        reject(reason);
      });
      const member: Member = {
        transaction,
        touched: touchedBy(transaction),
        alone,
        left: false,
        resolve: (result) => {
          leaving[Symbol.dispose]();
          resolve(result);
        },
        reject: (error) => {
          leaving[Symbol.dispose]();
          reject(error);
        },
      };
      this.#queue.push(member);
      this.#wake();
    });
  }

  /** Sends what can go, once everything that is being asked for in this very moment is in the queue. */
  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      while (this.#queue.length > 0 && this.#flights.size < (this.#options.flights ?? FLIGHTS)) {
        const group = this.#next();
        if (group.members.length === 0) return;
        this.#fly(group).catch((error: unknown) => {
          refuseAll(group.members, error);
        });
      }
    });
  }

  /**
   * Takes the next group out of the queue: from its front what fits together, and is not being changed by another. What
   * is passed over is not overtaken by anything it clashes with: or what looks at much would wait for as long as others
   * come that write there.
   */
  #next(): Group<Member> {
    const group = this.#group([]);
    const passed: Member[] = [];
    const ahead = new Footprint();
    let taken = 0;
    for (const member of this.#queue) {
      if (member.left) {
        taken += 1;
        continue;
      }
      const [first] = group.members;
      if (passed.length === PASSED_OVER || first?.alone === true) break;
      if (first !== undefined && member.alone) break;
      const { touched } = member;
      const waits = this.#isChanging(member) || (passed.length > 0 && ahead.clashesWith(touched));
      const objection = waits ? 'clash' : group.add(member);
      if (objection === 'full') break;
      if (objection === 'clash') {
        passed.push(member);
        ahead.add(touched);
      }
      taken += 1;
    }
    this.#queue = passed.concat(this.#queue.slice(taken));
    return group;
  }

  /** Whether something on its way writes what the member looks at: it would only lose. */
  #isChanging({ touched }: Member): boolean {
    return this.#writing.changesFor(touched);
  }

  /** Commits a group until all its members are answered. */
  async #fly(group: Group<Member>): Promise<void> {
    this.#flights.add(group);
    this.#writing.add(group.members);
    let rest: readonly Member[] = group.members;
    while (rest.length > 0) rest = await this.#send(rest);
    this.#flights.delete(group);
    this.#writing.delete(group.members);
    this.#wake();
  }

  /** Sends members as one transaction; those that are yet to be answered. */
  async #send(candidates: readonly Member[]): Promise<readonly Member[]> {
    const group = this.#group(candidates.filter(({ left }) => !left));
    if (group.members.length === 0) return [];
    // Not all fit where the store has turned out to take less since they were put together.
    const sent = new Set(group.members);
    const waiting = candidates.filter((member) => !sent.has(member));
    return [...(await this.#sendGroup(group)), ...waiting];
  }

  /** Commits a group; those of it that are yet to be answered, because another of them lost. */
  async #sendGroup(group: Group<Member>): Promise<readonly Member[]> {
    const { members } = group;
    let result: CommitResult;
    try {
      // Not a member's signal: one that goes must not take the others with it. The store's own deadline ends this.
      result = await this.#options.store.commit(group.transaction(), NEVER);
    } catch (error) {
      // Of what is refused as full, each may have been written: only who asked for it can tell (see StoreFull).
      const refused = error instanceof StoreRefused && !(error instanceof StoreFull);
      if (refused && members.length > 1) return this.#sendEach(members);
      refuseAll(members, error);
      return [];
    }
    if (result.committed) {
      this.#answer(members, result);
      return [];
    }
    if (group.isFenced(result)) {
      refuseAll(members, new Fenced('the fence did not hold'));
      return [];
    }
    const losers = group.losers(result);
    for (const [loser, own] of losers) loser.resolve(own);
    const rest = members.filter((member) => !losers.has(member));
    if (losers.size > 0) return rest;
    // Nobody is to blame, so the state changed between the compares and what was found; each finds out for itself.
    if (members.length > 1) return this.#sendEach(members);
    for (const member of members) member.resolve(result);
    return [];
  }

  /** Answers members that are committed, when they may be answered. The next group does not wait for that. */
  #answer(members: readonly Member[], result: CommitResult): void {
    const ready = this.#options.committed?.(result.revision) ?? Promise.resolve();
    ready.then(
      () => {
        for (const member of members) member.resolve(result);
      },
      (error: unknown) => {
        refuseAll(members, error);
      },
    );
  }

  async #sendEach(members: readonly Member[]): Promise<readonly Member[]> {
    const rest = await Promise.all(members.map((member) => this.#send([member])));
    return rest.flat();
  }

  #group(members: readonly Member[]): Group<Member> {
    const { fence, store } = this.#options;
    const group = new Group<Member>(fence?.(), store.operationsMax ?? MAX_OPERATIONS);
    for (const member of members) group.add(member);
    return group;
  }
}

function refuseAll(members: readonly Member[], error: unknown): void {
  for (const member of members) member.reject(asError(error));
}

const NEVER = new AbortController().signal;
