/**
 * The loop that keeps this host's kernel at what is desired. Level-triggered: `kick` says that something may have
 * changed, and the pass that follows looks at everything anew; it does not matter what changed, how often or in which
 * order. What a pass could not do is tried again.
 */
import { backoffMs } from '../../core/lifetime.js';
import type { EndpointId } from '../../core/ids.js';
import type { Problem } from '../../core/model.js';
import type { Logger } from '../../core/daemon/log.js';
import type { NetworkDriver, RowRef } from '../drivers/driver.js';
import { desiredState, type DesiredState, type HostFacts, type LocalSandbox } from '../state/desired.js';
import { Latest } from '../state/latest.js';
import { NOTHING_SETTLED, type Known, type Settled } from '../state/settled.js';
import type { Kernel } from '../tables/kernel.js';
import { networkNamespace, sandboxNamespace } from '../tables/namespace-names.js';
import { Compiler } from './compile.js';
import { KernelMirror, type NamespaceFailure } from './pass.js';

const AUDIT_MS = 60_000;
const RETRY_FIRST_MS = 100;
const RETRY_CAP_MS = 10_000;

/** Everything that the desired state is made of, as it is now. */
export interface Input {
  /** Undefined before the first InSync: nothing is deleted then. */
  readonly known: Known | undefined;
  /** Undefined before the controller told this host's number. The same object as long as nothing in it changed. */
  readonly facts: HostFacts | undefined;
  readonly sandboxes: readonly LocalSandbox[];
  /** What else is not as asked, and no pass can change. */
  readonly notices?: readonly Problem[];
}

/**
 * What follows the desired state beside the kernel's tables: name servers, files. Called in each pass after everything
 * was put and before anything is dropped, since a socket would keep a namespace alive. Returns what it could not do.
 */
export type Companion = (state: DesiredState, input: Input) => readonly Problem[];

/** Figures of one pass, for the metrics. */
export interface PassFigures {
  readonly durationMs: number;
  readonly writes: number;
  readonly problems: number;
}

export interface ReconcilerOptions {
  readonly kernel: Kernel;
  readonly drivers: readonly NetworkDriver[];
  readonly input: () => Input;
  readonly log: Logger;
  readonly companions?: readonly Companion[];
  readonly onPass?: (figures: PassFigures) => void;
}

export class Reconciler implements Disposable {
  readonly #options: ReconcilerOptions;
  readonly #mirror: KernelMirror;
  readonly #compiler: Compiler;
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #audit: NodeJS.Timeout | undefined;
  #failedPasses = 0;
  #closed = false;

  /** What the last pass came to. */
  readonly settled = new Latest<Settled>(NOTHING_SETTLED);

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#mirror = new KernelMirror(options.kernel);
    this.#compiler = new Compiler(options.drivers);
  }

  /** Begins, and lists the kernel anew from time to time. */
  start(): void {
    this.#audit = setInterval(() => {
      this.audit();
    }, AUDIT_MS);
    this.#audit.unref();
    this.kick();
  }

  /** Something may have changed: a pass follows, one for all kicks of a moment. */
  kick(): void {
    if (this.#closed) return;
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.pass();
    });
  }

  /** The next pass trusts nothing that is remembered of the kernel. */
  audit(): void {
    this.#mirror.forget();
    this.kick();
  }

  /** One pass, now. Returns the number of changes the kernel was asked for. */
  pass(): number {
    const startedAt = performance.now();
    const input = this.#options.input();
    const state = stateOf(input);
    const compiled = this.#compiler.compile(state, input.facts);
    const followUps: Problem[] = [];
    const { failures, writes } = this.#mirror.pass(compiled.namespaces, input.known !== undefined, () => {
      for (const companion of this.#options.companions ?? []) followUps.push(...companion(state, input));
    });
    const where = new Where(input, state);
    const problems = [...followUps, ...failures.map((failure) => where.problemOf(failure))];
    const { attached, failed } = this.#endpoints(compiled.needs, failures);
    const failedNamespaces = new Set(failures.map(({ namespace }) => namespace));
    const settled: Settled = {
      known: input.known,
      attached,
      failed,
      removed: removedOf(input, failedNamespaces),
      sandboxes: new Set([...state.sandboxes.keys()].filter((name) => this.#mirror.has(sandboxNamespace(name)))),
      problems,
      notices: [...state.notices, ...(input.notices ?? [])],
    };
    this.#logChanges(settled);
    this.#retryAfter(failures.length + followUps.length);
    this.#options.onPass?.({ durationMs: performance.now() - startedAt, writes, problems: problems.length });
    this.settled.set(settled);
    return writes;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#retry);
    clearInterval(this.#audit);
  }

  #endpoints(
    needs: ReadonlyMap<EndpointId, readonly RowRef[]>,
    failures: readonly NamespaceFailure[],
  ): Pick<Settled, 'attached' | 'failed'> {
    const attached = new Set<EndpointId>();
    const failed = new Map<EndpointId, string>();
    for (const [id, refs] of needs) {
      // Nothing failed: everything that is wanted is there.
      const missing = failures.length === 0 ? undefined : refs.find((ref) => !this.#mirror.holds(ref));
      if (missing === undefined) attached.add(id);
      else failed.set(id, reasonFor(missing, refs, failures));
    }
    return { attached, failed };
  }

  #retryAfter(failures: number): void {
    clearTimeout(this.#retry);
    this.#failedPasses = failures === 0 ? 0 : this.#failedPasses + 1;
    if (failures === 0 || this.#closed) return;
    const delay = backoffMs(this.#failedPasses - 1, RETRY_FIRST_MS, RETRY_CAP_MS);
    this.#retry = setTimeout(() => {
      this.kick();
    }, delay);
  }

  #logChanges(next: Settled): void {
    const { log } = this.#options;
    const before = this.settled.value;
    for (const [id, endpoint] of endpointsIn(next.known)) {
      if (!next.attached.has(id) || before.attached.has(id)) continue;
      const { requestId, networkId, sandbox } = endpoint;
      log.info({ requestId, endpointId: id, networkId, sandbox }, 'endpoint attached');
    }
    for (const id of before.attached) if (!next.attached.has(id)) log.info({ endpointId: id }, 'endpoint detached');
    const known = new Set([...before.problems, ...before.notices].map(textOf));
    for (const problem of [...next.problems, ...next.notices])
      if (!known.has(textOf(problem))) log.warn(problem, 'cannot be done');
    if (before.problems.length > 0 && next.problems.length === 0) log.info('all problems are gone');
  }
}

function stateOf({ known, facts, sandboxes }: Input): DesiredState {
  if (known !== undefined && facts !== undefined) return desiredState(known.view, sandboxes, facts);
  const bare = sandboxes.map(
    ({ name }) => [name, { name, nameservers: [], addresses: [], search: [], resolverOptions: [] }] as const,
  );
  return { networks: new Map(), sandboxes: new Map(bare), notices: [] };
}

function* endpointsIn(known: Known | undefined) {
  for (const { endpoints } of known?.view.values() ?? []) yield* endpoints;
}

/** A removing endpoint is out of the kernel when the pass found nothing to complain of where it was. */
function removedOf({ known, facts }: Input, failedNamespaces: ReadonlySet<string>): EndpointId[] {
  if (facts === undefined || failedNamespaces.has('')) return [];
  const removed: EndpointId[] = [];
  for (const [id, { hostId, state, networkId, sandbox }] of endpointsIn(known)) {
    if (hostId !== facts.hostId || state !== 'removing') continue;
    const places = [networkNamespace(networkId), sandboxNamespace(sandbox)];
    if (!places.some((place) => failedNamespaces.has(place))) removed.push(id);
  }
  return removed;
}

/** The failure nearest to the missing row. */
function reasonFor(missing: RowRef, refs: readonly RowRef[], failures: readonly NamespaceFailure[]): string {
  const at = ({ namespace, table, key }: NamespaceFailure, ref: RowRef): boolean =>
    namespace === ref.namespace && table === ref.table && key === ref.key;
  const failure =
    failures.find((candidate) => at(candidate, missing)) ??
    failures.find((candidate) => refs.some((ref) => at(candidate, ref))) ??
    failures.find(({ namespace }) => namespace === missing.namespace) ??
    failures[0];
  return failure?.error.message ?? 'unknown';
}

function textOf({ object, message }: Problem): string {
  return `${object}: ${message}`;
}

/** Failures in the words of users: networks and sandboxes by their names. */
class Where {
  readonly #host: string;
  readonly #names: ReadonlyMap<string, string>;

  constructor({ facts, known }: Input, state: DesiredState) {
    this.#host = facts?.name ?? 'this host';
    const networks = [...(known?.view ?? [])].map(
      ([id, { network }]) => [networkNamespace(id), `network ${network.name}`] as const,
    );
    const sandboxes = [...state.sandboxes.keys()].map((name) => [sandboxNamespace(name), `sandbox ${name}`] as const);
    this.#names = new Map([...networks, ...sandboxes]);
  }

  problemOf({ namespace, table, key, error }: NamespaceFailure): Problem {
    const place = namespace === '' ? 'namespaces' : (this.#names.get(namespace) ?? `namespace ${namespace}`);
    const row = table === undefined ? '' : `, ${table}${key === undefined || key === '' ? '' : ` ${key}`}`;
    return { object: `${this.#host} ${place}${row}`, message: error.message };
  }
}
