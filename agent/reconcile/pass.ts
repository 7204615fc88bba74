/**
 * One pass over the kernel: every namespace of Weft's brought to what is wanted. Puts come before drops, networks before
 * the sandboxes that stand on them; a failure is collected and stops only what depends on it. Synchronous, as the kernel
 * answers synchronously.
 */
import { asError } from '../../core/errors.js';
import type { Kernel } from '../tables/kernel.js';
import { NETWORK_PREFIX, SANDBOX_PREFIX } from '../tables/namespace-names.js';
import { noRows, type LinkRow, type NamespaceRows } from '../tables/rows.js';
import type { Failure, Outcome } from './mirror.js';
import { NamespaceMirror } from './namespace-mirror.js';

/** A failure, and where. */
export interface NamespaceFailure extends Partial<Failure> {
  readonly namespace: string;
  readonly error: Error;
}

/** What a pass came to. */
export interface PassOutcome {
  readonly failures: readonly NamespaceFailure[];
  /** Changes asked of the kernel. */
  readonly writes: number;
}

const NOTHING_WANTED: NamespaceRows = noRows();

/** The kernel's namespaces, as far as they are known. */
export class KernelMirror {
  readonly #kernel: Kernel;
  #names: Set<string> | undefined;
  readonly #mirrors = new Map<string, NamespaceMirror>();
  /** Namespaces in which something failed in the last pass. */
  readonly #doubtful = new Set<string>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** From here on nothing is known: the next pass lists everything. */
  forget(): void {
    this.#names = undefined;
    for (const name of this.#mirrors.keys()) this.#kernel.close(name);
    this.#mirrors.clear();
  }

  /** Whether the kernel is known to hold the row. */
  holds({ namespace, table, key }: { namespace: string; table: Failure['table']; key: string }): boolean {
    return this.#mirrors.get(namespace)?.holds(table, key) ?? false;
  }

  /** Whether a namespace of that name is there, as far as is known. */
  has(namespace: string): boolean {
    return this.#names?.has(namespace) ?? false;
  }

  /**
   * Brings the kernel to `want`. Without `mayDrop` nothing is taken away: what is wanted is not known in full yet.
   * `between` runs after everything was put and before anything is dropped.
   */
  pass(want: ReadonlyMap<string, NamespaceRows>, mayDrop: boolean, between: () => void = () => undefined): PassOutcome {
    const first = this.#round(want, mayDrop, between);
    // What was dropped may have stood in the way: an interface's name is free only once its last owner is gone.
    if (first.failures.length === 0 || first.dropped === 0) return first;
    const second = this.#round(want, mayDrop, between);
    return { failures: second.failures, writes: first.writes + second.writes };
  }

  #round(want: ReadonlyMap<string, NamespaceRows>, mayDrop: boolean, between: () => void): Run {
    this.#forgetDoubtful();
    const run = new Run();
    run.attempt('', () => {
      this.#names ??= this.#list(run, mayDrop);
    });
    // By name, networks (weft-n-) come before sandboxes (weft-s-).
    const wanted = [...want].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [name] of wanted) this.#create(name, run);
    for (const [name, rows] of wanted) this.#each(name, run, (mirror) => mirror.put(rows));
    between();
    if (mayDrop) {
      const before = run.writes;
      for (const [name, rows] of [...wanted].reverse()) this.#each(name, run, (mirror) => mirror.drop(rows));
      for (const name of [...(this.#names ?? [])]) if (!want.has(name)) this.#remove(name, run);
      run.dropped = run.writes - before;
    }
    for (const name of run.failed) this.#doubtful.add(name);
    return run;
  }

  #list(run: Run, mayDrop: boolean): Set<string> {
    const names = new Set<string>();
    for (const { name, whole } of this.#kernel.list()) {
      if (whole) names.add(name);
      // What a crash half way through making or deleting one left: a file without a namespace.
      else if (mayDrop) run.attempt(name, () => this.#kernel.delete(name));
    }
    return names;
  }

  #create(name: string, run: Run): void {
    if (this.#names === undefined || this.#names.has(name)) return;
    run.attempt(name, () => {
      run.writes++;
      this.#kernel.create(name);
      this.#names?.add(name);
    });
  }

  #each(name: string, run: Run, act: (mirror: NamespaceMirror) => Outcome): void {
    if (this.#names?.has(name) !== true) return;
    run.attempt(name, () => {
      const mirror = this.#mirrors.get(name) ?? new NamespaceMirror(this.#kernel.open(name));
      this.#mirrors.set(name, mirror);
      const { failures, writes, lost } = act(mirror);
      for (const failure of failures) run.fail({ namespace: name, ...failure });
      run.writes += writes;
      for (const row of lost) this.#forgetFarEnd(row);
    });
  }

  /** A sandbox lost an interface, with its addresses and routes: it is listed again. */
  #forgetFarEnd(row: LinkRow): void {
    if (row.kind === 'port') this.#mirrors.get(row.peer.netns)?.forget();
    if (row.kind !== 'found') return;
    // Whose it was is not known.
    for (const [name, mirror] of this.#mirrors) if (name.startsWith(SANDBOX_PREFIX)) mirror.forget();
  }

  /**
   * A network's links go before its namespace: the kernel takes a namespace apart later, and until then the VNI would
   * be in use and the far ends of the ports in their sandboxes.
   */
  #remove(name: string, run: Run): void {
    if (name.startsWith(NETWORK_PREFIX)) this.#each(name, run, (mirror) => mirror.drop(NOTHING_WANTED));
    if (run.failed.has(name)) return;
    run.attempt(name, () => {
      run.writes++;
      this.#mirrors.delete(name);
      this.#kernel.delete(name);
      this.#names?.delete(name);
    });
  }

  /** A namespace in which something failed is opened and listed again: perhaps it is another by now. */
  #forgetDoubtful(): void {
    if (this.#doubtful.size > 0) this.#names = undefined;
    for (const name of this.#doubtful) {
      this.#mirrors.delete(name);
      this.#kernel.close(name);
    }
    this.#doubtful.clear();
  }
}

/** One pass's bookkeeping. */
class Run {
  readonly failures: NamespaceFailure[] = [];
  readonly failed = new Set<string>();
  writes = 0;
  /** Those of them that took something away. */
  dropped = 0;

  fail(failure: NamespaceFailure): void {
    this.failures.push(failure);
    this.failed.add(failure.namespace);
  }

  attempt(namespace: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.fail({ namespace, error: asError(error) });
    }
  }
}
