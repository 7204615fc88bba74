/** The tree of commands as a page: docs/cli.md is held against it by a test, so that it cannot go stale. */
import type { Argument, Command, Option } from 'commander';
import { ENVIRONMENT, EXIT_MEANINGS } from './globals.js';
import { VERB_ALIASES } from './program.js';

/** Markdown. `program` is filled in. */
export function renderReference(program: Command): string {
  const commands = leavesOf(program);
  return [
    '# The command line',
    '',
    `\`weft\` is a client of the controllers and of the agent on its own host. This page lists its commands as \`--help\``,
    'has them; a test holds the two together (`npx vitest run cli/reference.test.ts -u` writes the page).',
    `${Object.entries(VERB_ALIASES)
      .map(([verb, alias]) => `\`${verb}\` is also \`${alias}\``)
      .join(', ')}.`,
    '',
    ...section('Options of every command', table(['Option', ''], program.options.filter(isGlobal).map(optionRow))),
    ...section(
      'Environment',
      table(
        ['Variable', ''],
        ENVIRONMENT.map(([variable, description]) => [`\`${variable}\``, description]),
      ),
    ),
    ...section('Exit status', [
      ...table(['Status', ''], Object.entries(EXIT_MEANINGS)),
      '',
      'The programs that `exec`, `run` and `lab exec` ran give these commands their status; 128 + n where signal n ended it.',
    ]),
    ...section('JSON', [
      '`--json` prints one document on stdout: the proto3 JSON of the `weft.v1` message (`proto/weft/v1/*.proto`), in which',
      'int64 is a string and a field that has its default value is absent. Lists are `{"networks":[...]}`, `{"endpoints":[...]}`',
      'and so on; `inspect` of one name is the object, of several such a list; `rm` says `{"removed":[{"name","revision"}]}`,',
      'and so does `network prune`. The predefined networks are in lists with their name and driver, and have no id. Without',
      '`--json`, `inspect` says states in the words of the tables (`ready`), and of a network beside the message who is on it,',
      'where its MTU is from, and every zero. Counts of addresses end at 2^63-1, which is less than a /64 has: a count that',
      'large is `>9.2e18` there, and `9223372036854775807` with `--json`. `events` says `{"events":[...],"revision"}`, up to',
      'and with which revision that is; with `--follow`, one event in each line as it comes, all of a revision at once.',
    ]),
    ...commands.flatMap((command) => renderCommand(command)),
  ].join('\n');
}

/** Every visible command that does something, in the order of the help. */
export function leavesOf(command: Command): Command[] {
  const visible = command.createHelp().visibleCommands(command);
  return visible.length === 0 ? [command] : visible.flatMap((each) => leavesOf(each));
}

/** `weft network create`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function renderCommand(command: Command): string[] {
  const own = command.options.filter((option) => !option.hidden && !isGlobal(option));
  const rows = [...command.registeredArguments.map(argumentRow), ...own.map(optionRow)];
  return section(pathOf(command), [
    sentence(command.description()),
    '',
    '```',
    `${pathOf(command)} ${command.usage()}`,
    '```',
    ...(rows.length === 0 ? [] : ['', ...table(['Argument or option', ''], rows)]),
  ]);
}

/** Only the global options have a group. */
function isGlobal(option: Option): boolean {
  return option.helpGroupHeading !== undefined;
}

function argumentRow(argument: Argument): string[] {
  const choices = argument.argChoices === undefined ? '' : ` (${argument.argChoices.join(', ')})`;
  return [`\`${argument.name().toUpperCase()}\``, argument.description + choices];
}

function optionRow(option: Option): string[] {
  const choices = option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`;
  return [`\`${option.flags}\``, option.description + choices];
}

function section(title: string, lines: readonly string[]): string[] {
  return [`## ${title}`, '', ...lines, ''];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map((row) => line(row))];
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}
