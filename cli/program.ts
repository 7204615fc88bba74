/** The tree of commands. Each noun is a file in commands/, loaded when it is called: starting stays quick. */
import { Command, type Argument } from 'commander';
import { VERSION } from '../core/version.js';
import { addGlobals, ENVIRONMENT, EXIT_MEANINGS } from './globals.js';
import { makeAct, type ActWatcher, type Define } from './invocation.js';
import type { Surroundings } from './surroundings.js';

interface Noun {
  readonly name: string;
  readonly description: string;
  readonly load: () => Promise<{ readonly define: Define }>;
}

const NOUNS: readonly Noun[] = [
  { name: 'network', description: 'networks that span all hosts', load: () => import('./commands/network.js') },
  { name: 'sandbox', description: "this host's sandboxes", load: () => import('./commands/sandbox.js') },
  { name: 'exec', description: 'run a program in a sandbox of this host', load: () => import('./commands/exec.js') },
  {
    name: 'run',
    description: 'run a program in a sandbox that lives as long as it does',
    load: () => import('./commands/run.js'),
  },
  {
    name: 'endpoint',
    description: 'who is on which network, with which addresses',
    load: () => import('./commands/endpoint.js'),
  },
  { name: 'host', description: 'the hosts of the cluster', load: () => import('./commands/host.js') },
  {
    name: 'events',
    description: 'what happens to networks, endpoints and hosts',
    load: () => import('./commands/events.js'),
  },
  { name: 'status', description: 'the cluster at a glance', load: () => import('./commands/status.js') },
  {
    name: 'backup',
    description: 'write the whole state of the cluster into a file',
    load: () => import('./commands/backup.js'),
  },
  {
    name: 'restore',
    description: "put a backup in the place of the cluster's state",
    load: () => import('./commands/restore.js'),
  },
  {
    name: 'lab',
    description: 'a cluster in namespaces of this machine, to try things',
    load: () => import('./commands/lab.js'),
  },
  {
    name: 'completion',
    description: 'print a script that completes commands and names in your shell',
    load: () => import('./commands/completion.js'),
  },
];

/** What verbs are called as well, as with Docker. */
export const VERB_ALIASES: Readonly<Record<string, string>> = { ls: 'list', rm: 'remove' };

/** The tree with nouns that are not filled in yet. Commander's errors are thrown, its help goes to `surroundings`. */
export function makeProgram({ stdout, stderr }: Pick<Surroundings, 'stdout' | 'stderr'>): Command {
  const program = new Command('weft')
    .description('Multi-host overlay networks for containers and network namespaces')
    .version(VERSION, '--version', 'print the version')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // Whoever runs the program tells its errors, in one form with all others.
      outputError: () => undefined,
      getOutHasColors: () => stdout.isTty,
      getErrHasColors: () => stderr.isTty,
    })
    .configureHelp({
      subcommandTerm: (command) =>
        [command.name(), ...command.registeredArguments.map((argument) => humanReadable(argument))].join(' '),
    })
    .addHelpText('after', renderHelpEnd());
  addGlobals(program);
  for (const { name, description } of NOUNS) {
    program.command(name).description(description);
  }
  return program;
}

/** `<network...>`, as usage lines have it. */
function humanReadable(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

function renderHelpEnd(): string {
  const width = Math.max(...ENVIRONMENT.map(([variable]) => variable.length));
  return [
    '',
    'Environment:',
    ...ENVIRONMENT.map(([variable, description]) => `  ${variable.padEnd(width)}  ${description}`),
    '',
    'Exit status:',
    ...Object.entries(EXIT_MEANINGS).map(([code, meaning]) => `  ${code}  ${meaning}`),
    '  exec, run and lab exec end with the status of the program they ran.',
  ].join('\n');
}

/** Fills in one noun, or with no name all of them. An unknown name fills in nothing. */
export async function fillIn(
  program: Command,
  name: string | undefined,
  { surroundings, watcher }: { readonly surroundings: Surroundings; readonly watcher: ActWatcher },
): Promise<void> {
  for (const noun of NOUNS) {
    if (name !== undefined && noun.name !== name) continue;
    const command = program.commands.find((candidate) => candidate.name() === noun.name);
    if (command === undefined) continue;
    (await noun.load()).define(command, makeAct(surroundings, watcher));
    for (const each of command.commands) {
      const alias = VERB_ALIASES[each.name()];
      if (alias !== undefined) each.alias(alias);
    }
    for (const each of [command, ...command.commands]) addGlobals(each.helpCommand(false));
  }
}
