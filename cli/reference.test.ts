import { format, resolveConfig } from 'prettier';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Command } from 'commander';
import { fillIn, makeProgram } from './program.js';
import { leavesOf, pathOf, renderReference } from './reference.testing.js';
import { testSurroundings } from './surroundings.testing.js';

const PAGE = '../docs/cli.md';

describe('the tree of commands', () => {
  let program: Command;

  beforeAll(async () => {
    const { surroundings } = testSurroundings();
    program = makeProgram(surroundings);
    await fillIn(program, undefined, {
      surroundings,
      watcher: { started: () => undefined, ended: () => undefined },
    });
  });

  it('is what docs/cli.md says', async () => {
    const options = await resolveConfig(new URL(PAGE, import.meta.url).pathname);
    const page = await format(renderReference(program), { ...options, parser: 'markdown' });
    await expect(page).toMatchFileSnapshot(PAGE);
  });

  it('has every verb of the interface that is built', () => {
    const built = [
      ...['create', 'ls', 'inspect', 'update', 'rm', 'prune', 'connect', 'disconnect'].map(
        (verb) => `weft network ${verb}`,
      ),
      ...['create', 'ls', 'inspect', 'rm'].map((verb) => `weft sandbox ${verb}`),
      ...['weft exec', 'weft run', 'weft endpoint ls', 'weft endpoint inspect', 'weft host ls', 'weft host inspect'],
      ...['drain', 'activate', 'rm'].map((verb) => `weft host ${verb}`),
      ...[
        'weft events',
        'weft status',
        'weft backup',
        'weft restore',
        'weft completion',
        ...['up', 'exec', 'ls', 'fault', 'down'].map((verb) => `weft lab ${verb}`),
      ],
    ];
    expect(leavesOf(program).map((command) => pathOf(command))).toEqual(expect.arrayContaining(built));
  });

  it('describes each command in one line, each option and argument too, and gives examples', () => {
    for (const command of leavesOf(program)) {
      const path = pathOf(command);
      expect(command.description(), path).toMatch(/^[^\n]{10,80}[^.\n]$/);
      const shown = command.options.filter(({ hidden }) => !hidden);
      for (const { flags, description } of shown) expect(description, `${path} ${flags}`).not.toBe('');
      for (const argument of command.registeredArguments) {
        expect(argument.description, `${path} ${argument.name()}`).not.toBe('');
      }
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      expect(help, path).toMatch(/\nExamples:\n {2}\$ \S/);
    }
  });
});
