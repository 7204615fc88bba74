/** `weft lab ...`: the face of the lab library in e2e/lab, which is loaded when a lab is really wanted. */
import { Argument, Option, type Command } from 'commander';
import type { LabErrorKind } from '../../e2e/lab/lab-error.js';
import type { Lab, LabSummary } from '../../e2e/lab/lab.js';
import { invalid, WeftError, type StatusName } from '../../core/errors.js';
import { parseCommandLine, refuseJson } from '../arguments/command-line.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { LocalFailure } from '../output/errors.js';
import { StepTeller } from '../output/steps.js';
import { interruptionOf } from '../surroundings.js';

const DEFAULT_LAB = 'lab';
const DEFAULT_HOSTS = '3';
const DEFAULT_CONTROLLERS = '1';
const DEFAULT_ETCD = '1';

interface LabOption {
  readonly lab: string;
}

interface UpOptions extends LabOption {
  readonly hosts: string;
  readonly controllers: string;
  readonly etcd: string;
  readonly docker?: boolean;
  readonly vm?: boolean;
}

export const define: Define = (lab, act) => {
  addExamples(
    addNotBuilt(lab.command('up'))
      .description('make a cluster on this machine: hosts and controllers in namespaces')
      .option('--lab <lab>', 'what to call it', DEFAULT_LAB)
      .option('--hosts <n>', 'how many hosts', DEFAULT_HOSTS)
      .option('--controllers <n>', 'how many controllers', DEFAULT_CONTROLLERS)
      .option(
        '--etcd <n>',
        'how many etcd members, each a machine of its own; one, with one controller, runs inside it',
        DEFAULT_ETCD,
      )
      .action(act((invocation, options: UpOptions) => up(invocation, options))),
    ['weft lab up', 'three hosts, h1 to h3, and a controller, c1'],
    ['weft lab up --lab big --hosts 10', 'another one beside it'],
    ['weft lab up --controllers 3 --etcd 3', 'one in which any machine may die: c1 to c3, e1 to e3'],
  );
  addExamples(
    lab
      .command('exec')
      .description('run a program as root on a host of a lab; weft finds its agent there')
      .option('--lab <lab>', 'which lab', DEFAULT_LAB)
      .argument('<host>', 'h1, h2, ..., c1, ..., or e1, ...')
      .argument('<cmd...>', 'the program and its arguments, behind --')
      .usage('[options] HOST -- CMD...')
      .passThroughOptions()
      .action(
        act((invocation, host: string, words: string[], options: LabOption) =>
          exec(invocation, { host, words, lab: options.lab }),
        ),
      ),
    ['weft lab exec h1 -- weft network ls', 'weft, as on any host'],
    ['weft lab exec h2 -- bash', 'a shell there'],
  );
  addExamples(
    lab
      .command('ls')
      .description('list the labs of this machine, and what runs and what is broken in them')
      .action(act((invocation) => list(invocation))),
    ['weft lab ls', 'a line for each machine'],
  );
  addExamples(
    lab
      .command('fault')
      .description('break something in a lab, or mend it')
      .option('--lab <lab>', 'which lab', DEFAULT_LAB)
      .addArgument(new Argument('<fault>', 'what to do').choices(FAULT_NAMES))
      .argument('[node...]', 'to which machines: h1, ..., c1, ..., e1, ...')
      .usage('[options] partition A B | heal [A B] | kill NODE | restart NODE | pause NODE | resume NODE')
      .addHelpText('after', renderFaults())
      .action(
        act((invocation, name: FaultName, nodes: string[], options: LabOption) =>
          fault(invocation, { name, nodes, lab: options.lab }),
        ),
      ),
    ['weft lab fault partition h1 c2', 'they do not reach each other any more; all others do'],
    ['weft lab fault heal', 'all reach all again'],
    ['weft lab fault kill c1', 'its controller is gone; see who takes over'],
    ['weft lab fault restart c1', 'and is there again'],
    ['weft lab fault pause h2', "h2's agent hangs, until: weft lab fault resume h2"],
  );
  addExamples(
    lab
      .command('down')
      .description('end a lab, and leave nothing of it behind')
      .option('--lab <lab>', 'which lab', DEFAULT_LAB)
      .action(act((invocation, options: LabOption) => down(invocation, options))),
    ['weft lab down', 'also after a crash'],
  );
};

/** Options to come. Help does not have them; whoever knows of them is told, rather than that they are unknown. */
function addNotBuilt(command: Command): Command {
  return command.addOption(new Option('--docker').hideHelp()).addOption(new Option('--vm').hideHelp());
}

async function up(invocation: Invocation, options: UpOptions): Promise<undefined> {
  const notBuilt = [...(options.docker === true ? ['--docker'] : []), ...(options.vm === true ? ['--vm'] : [])];
  if (notBuilt.length > 0) {
    const message = `${notBuilt.join(', ')}: not built yet; the machines of a lab are namespaces`;
    throw new WeftError({ reason: 'OPTION_NOT_BUILT', message });
  }
  const counts = {
    hosts: parseCount('hosts', options.hosts),
    controllers: parseCount('controllers', options.controllers),
    etcd: parseCount('etcd', options.etcd),
  };
  const { surroundings } = invocation;
  const teller = new StepTeller(surroundings);
  const lab = await withLab(invocation, ({ Lab }) =>
    Lab.up({
      name: options.lab,
      ...counts,
      onProgress: teller.tell,
      signal: surroundings.signal,
      ...directoryOf(invocation),
    }),
  ).finally(() => {
    teller.clear();
  });
  const namesOf = (machines: readonly { readonly name: string }[]): string[] => machines.map(({ name }) => name);
  const names = namesOf(lab.hosts);
  if (invocation.globals.json) {
    const [controllers, etcd] = [namesOf(lab.controllers), namesOf(lab.etcd)];
    invocation.printJson({ name: lab.name, hosts: names, controllers, etcd, state: 'up' });
  } else {
    invocation.print(lab.name);
    surroundings.stderr.write(renderNext(lab.name, names));
  }
  return undefined;
}

/** What to type next. Pure. */
export function renderNext(lab: string, [first = 'h1', second = first]: readonly string[]): string {
  const choice = lab === DEFAULT_LAB ? '' : ` --lab ${lab}`;
  return [
    '',
    'Try:',
    `  weft lab exec${choice} ${first} -- weft status`,
    `  weft lab exec${choice} ${first} -- weft network create web`,
    `  weft lab exec${choice} ${first} -- weft sandbox create --network web shop`,
    `  weft lab exec${choice} ${second} -- weft run --network web -- ping -c 3 shop`,
    'and, to end it:',
    `  weft lab down${choice}`,
    '',
  ].join('\n');
}

interface ExecArguments extends LabOption {
  readonly host: string;
  readonly words: readonly string[];
}

async function exec(invocation: Invocation, { lab, host, words }: ExecArguments): Promise<number> {
  refuseJson(invocation);
  const argv = parseCommandLine(words);
  return withLab(invocation, ({ Lab }) =>
    Lab.open(lab, directoryOf(invocation)).machine(host).attach(argv, { cwd: process.cwd() }),
  );
}

/** A lab with what is broken between its machines. */
type LabView = LabSummary & { readonly partitions: readonly (readonly [string, string])[] };

async function list(invocation: Invocation): Promise<undefined> {
  const labs = await withLab(invocation, ({ Lab }) =>
    Promise.all(
      Lab.list(directoryOf(invocation)).map(async (lab): Promise<LabView> => {
        if (lab.state === 'broken') return { ...lab, partitions: [] };
        return { ...lab, partitions: await Lab.open(lab.name, directoryOf(invocation)).faults.partitions() };
      }),
    ),
  );
  if (invocation.globals.json) {
    invocation.printJson({ labs });
    return undefined;
  }
  const { listCell, renderTable } = await import('../output/table.js');
  const rows = labs.flatMap(({ name: lab, state, nodes, partitions }) => {
    if (nodes.length === 0) return [[lab, state, '', '', '', '', '']];
    return nodes.map(({ name, kind, address, daemon }) => {
      const others = partitions.flatMap(([one, other]) => (one === name ? [other] : other === name ? [one] : []));
      return [lab, state, name, kind, address, daemon, listCell(others)];
    });
  });
  invocation.print(renderTable(['LAB', 'STATE', 'NODE', 'KIND', 'ADDRESS', 'DAEMON', 'CUT OFF FROM'], rows));
  return undefined;
}

/** The labs of this machine, for completion. */
export async function nameLabs(invocation: Invocation): Promise<string[]> {
  return (await withLab(invocation, async ({ Lab }) => Lab.list(directoryOf(invocation)))).map(({ name }) => name);
}

/** The machines of a lab, for completion. */
export async function nameNodes(invocation: Invocation, lab = DEFAULT_LAB): Promise<string[]> {
  const labs = await withLab(invocation, async ({ Lab }) => Lab.list(directoryOf(invocation)));
  return labs.flatMap(({ name, nodes }) => (name === lab ? nodes.map((node) => node.name) : []));
}

/** What can be done, to how many nodes, and what it says. */
const FAULTS = {
  partition: { counts: [2], does: 'drop every packet between two machines, both ways' },
  heal: { counts: [0, 2], does: 'end the partition between two machines, or every one' },
  kill: { counts: [1], does: 'SIGKILL for the agent, the controller or the etcd member that runs there' },
  restart: { counts: [1], does: 'start it again, having stopped it where it runs' },
  pause: { counts: [1], does: 'SIGSTOP: connections stay, and nobody answers' },
  resume: { counts: [1], does: 'SIGCONT' },
} as const satisfies Readonly<Record<string, { readonly counts: readonly number[]; readonly does: string }>>;

type FaultName = keyof typeof FAULTS;
const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

function renderFaults(): string {
  const width = Math.max(...FAULT_NAMES.map(({ length }) => length));
  return ['', 'Faults:', ...FAULT_NAMES.map((name) => `  ${name.padEnd(width)}  ${FAULTS[name].does}`)].join('\n');
}

interface FaultArguments extends LabOption {
  readonly name: FaultName;
  readonly nodes: readonly string[];
}

async function fault(invocation: Invocation, { lab, name, nodes }: FaultArguments): Promise<undefined> {
  const [first = '', second = ''] = nodes;
  const counts: readonly number[] = FAULTS[name].counts;
  if (!counts.includes(nodes.length)) {
    const wanted = { partition: 'two machines', heal: 'two machines, or none' }[name as string] ?? 'one machine';
    const message = `lab fault ${name} is done to ${wanted}, as in: weft lab fault ${name} ${counts.includes(2) ? 'h1 c1' : 'c1'}`;
    throw new WeftError({ reason: 'ARGUMENT_INVALID', message });
  }
  const { signal } = invocation.surroundings;
  await withLab(invocation, async ({ Lab }) => {
    const { faults } = Lab.open(lab, directoryOf(invocation));
    const work: Readonly<Record<FaultName, () => unknown>> = {
      partition: () => faults.partition(first, second),
      heal: () => (nodes.length === 0 ? faults.healAll() : faults.heal(first, second)),
      kill: () => faults.kill(first),
      restart: () => faults.restart(first, signal),
      pause: () => faults.pause(first),
      resume: () => faults.resume(first),
    };
    await work[name]();
  });
  if (invocation.globals.json) invocation.printJson({ lab, fault: name, nodes });
  else invocation.print([name, ...nodes].join(' '));
  return undefined;
}

async function down(invocation: Invocation, { lab }: LabOption): Promise<undefined> {
  const found = await withLab(invocation, ({ Lab }) => Lab.down(lab, directoryOf(invocation)));
  if (!found) throw new LocalFailure('NOT_FOUND', `there is no lab ${lab}; weft lab ls lists those that are there`);
  if (invocation.globals.json) invocation.printJson({ removed: [{ name: lab }] });
  else invocation.print(lab);
  return undefined;
}

interface LabLibrary {
  readonly Lab: typeof Lab;
}

/** Loads the library, and gives its errors the exit status of their kind. */
async function withLab<T>(invocation: Invocation, work: (library: LabLibrary) => Promise<T>): Promise<T> {
  const [library, { LabError }] = await Promise.all([
    import('../../e2e/lab/lab.js'),
    import('../../e2e/lab/lab-error.js'),
  ]);
  try {
    return await work(library);
  } catch (error) {
    const interruption = interruptionOf(invocation.surroundings.signal);
    if (interruption !== undefined) throw interruption;
    throw error instanceof LabError ? new LocalFailure(STATUS_OF[error.kind], error.message, { cause: error }) : error;
  }
}

const STATUS_OF: Readonly<Record<LabErrorKind, StatusName>> = {
  invalid: 'INVALID_ARGUMENT',
  exists: 'ALREADY_EXISTS',
  'not-found': 'NOT_FOUND',
  state: 'FAILED_PRECONDITION',
  'timed-out': 'DEADLINE_EXCEEDED',
  failed: 'INTERNAL',
};

function directoryOf({ surroundings }: Invocation): { readonly dir?: string } {
  const dir = surroundings.env['WEFT_LAB_DIR'];
  return dir === undefined || dir === '' ? {} : { dir };
}

function parseCount(option: 'hosts' | 'controllers' | 'etcd', text: string): number {
  // How many are too many is for the lab to say.
  if (!/^0*[1-9]\d{0,3}$/.test(text)) {
    const what = option === 'etcd' ? 'etcd members' : option;
    throw new WeftError(invalid(`--${option}`, `expected how many ${what}, at least 1, not ${JSON.stringify(text)}`));
  }
  return Number(text);
}
