/** `weft lab ...`: the face of the lab library in e2e/lab, which is loaded when a lab is really wanted. */
import { Option, type Command } from 'commander';
import type { Lab } from '../../e2e/lab/lab.js';
import { invalid, WeftError, type StatusName } from '../../core/errors.js';
import { parseCommandLine, refuseJson } from '../arguments/command-line.js';
import { addExamples, type Define, type Invocation } from '../invocation.js';
import { LocalFailure } from '../output/errors.js';
import { StepTeller } from '../output/steps.js';
import { interruptionOf } from '../surroundings.js';

const DEFAULT_LAB = 'lab';
const DEFAULT_HOSTS = '3';

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
      .description('make a cluster on this machine: hosts and a controller in namespaces')
      .option('--lab <lab>', 'what to call it', DEFAULT_LAB)
      .option('--hosts <n>', 'how many hosts', DEFAULT_HOSTS)
      .action(act((invocation, options: UpOptions) => up(invocation, options))),
    ['weft lab up', 'three hosts, h1 to h3, and a controller, c1'],
    ['weft lab up --lab big --hosts 10', 'another one beside it'],
  );
  addExamples(
    lab
      .command('exec')
      .description('run a program as root on a host of a lab; weft finds its agent there')
      .option('--lab <lab>', 'which lab', DEFAULT_LAB)
      .argument('<host>', 'h1, h2, ..., or c1')
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
      .description('list the labs of this machine')
      .action(act((invocation) => list(invocation))),
    ['weft lab ls', 'a table'],
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
  return command
    .addOption(new Option('--controllers <n>').default('1').hideHelp())
    .addOption(new Option('--etcd <n>').default('1').hideHelp())
    .addOption(new Option('--docker').hideHelp())
    .addOption(new Option('--vm').hideHelp());
}

async function up(invocation: Invocation, options: UpOptions): Promise<undefined> {
  const notBuilt = [
    ...(options.controllers === '1' ? [] : [`--controllers ${options.controllers}`]),
    ...(options.etcd === '1' ? [] : [`--etcd ${options.etcd}`]),
    ...(options.docker === true ? ['--docker'] : []),
    ...(options.vm === true ? ['--vm'] : []),
  ];
  if (notBuilt.length > 0) {
    const message = `${notBuilt.join(', ')}: not built yet; a lab has one controller with its own etcd, and hosts in namespaces`;
    throw new WeftError({ reason: 'OPTION_NOT_BUILT', message });
  }
  const hosts = parseCount(options.hosts);
  const { surroundings } = invocation;
  const teller = new StepTeller(surroundings);
  const lab = await withLab(invocation, ({ Lab }) =>
    Lab.up({
      name: options.lab,
      hosts,
      onProgress: teller.tell,
      signal: surroundings.signal,
      ...directoryOf(invocation),
    }),
  ).finally(() => {
    teller.clear();
  });
  const names = lab.hosts.map(({ name }) => name);
  if (invocation.globals.json) {
    invocation.printJson({ name: lab.name, hosts: names, controllers: [lab.c1.name], state: 'up' });
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

async function list(invocation: Invocation): Promise<undefined> {
  const labs = await withLab(invocation, async ({ Lab }) => Lab.list(directoryOf(invocation)));
  if (invocation.globals.json) {
    invocation.printJson({ labs });
    return undefined;
  }
  const { listCell, renderTable } = await import('../output/table.js');
  const rows = labs.map(({ name, hosts, controllers, state }) => [name, state, listCell(hosts), listCell(controllers)]);
  invocation.print(renderTable(['LAB', 'STATE', 'HOSTS', 'CONTROLLERS'], rows));
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

const STATUS_OF: Readonly<Record<'invalid' | 'exists' | 'not-found' | 'timed-out' | 'failed', StatusName>> = {
  invalid: 'INVALID_ARGUMENT',
  exists: 'ALREADY_EXISTS',
  'not-found': 'NOT_FOUND',
  'timed-out': 'DEADLINE_EXCEEDED',
  failed: 'INTERNAL',
};

function directoryOf({ surroundings }: Invocation): { readonly dir?: string } {
  const dir = surroundings.env['WEFT_LAB_DIR'];
  return dir === undefined || dir === '' ? {} : { dir };
}

function parseCount(text: string): number {
  // How many are too many is for the lab to say.
  if (!/^0*[1-9]\d{0,3}$/.test(text)) {
    throw new WeftError(invalid('--hosts', `expected how many hosts, at least 1, not ${JSON.stringify(text)}`));
  }
  return Number(text);
}
