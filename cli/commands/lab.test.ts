import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '../run-command.js';
import { testSurroundings } from '../surroundings.testing.js';
import { renderNext } from './lab.js';

/** Labs themselves are tried by e2e/: here is what needs none. */
describe('weft lab', () => {
  let directory = '';

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'weft-labs-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  async function weft(line: string) {
    const { surroundings, written } = testSurroundings({ env: { WEFT_LAB_DIR: path.join(directory, 'labs') } });
    const exitCode = await runCommand(line.split(' '), surroundings);
    return { exitCode, ...written };
  }

  it('lists none where there are none', async () => {
    expect(await weft('lab ls')).toEqual({
      exitCode: 0,
      stdout: 'LAB   STATE   NODE   KIND   ADDRESS   DAEMON   CUT OFF FROM\n',
      stderr: '',
    });
    expect(await weft('lab ls --json')).toEqual({ exitCode: 0, stdout: '{"labs":[]}\n', stderr: '' });
  });

  it.each([
    ['lab up --docker --vm', 2, /^weft: --docker, --vm: not built yet/],
    ['lab up --controllers 0', 2, /^weft: --controllers: expected how many controllers, at least 1/],
    ['lab up --controllers 10', 2, /^weft: --controllers 10: a lab has 1 to 9 controllers/],
    ['lab up --etcd 10', 2, /^weft: --etcd 10: a lab has 1 to 9 etcd members/],
    ['lab up --vm', 2, /^weft: --vm: not built yet/],
    ['lab up --hosts 0', 2, /^weft: --hosts: expected how many hosts, at least 1, not "0"/],
    ['lab up --hosts many', 2, /^weft: --hosts: expected how many hosts/],
    ['lab up --hosts 500', 2, /^weft: --hosts 500: a lab has 1 to/],
    ['lab up --lab ../x', 2, /^weft: --lab "\.\.\/x": a name has/],
    ['lab fault', 2, /missing required argument 'fault'/],
    ['lab fault burn', 2, /'burn' is invalid.*Allowed choices are partition, heal, kill/],
    [
      'lab fault partition h1',
      2,
      /^weft: lab fault partition is done to two machines, as in: weft lab fault partition h1 c1/,
    ],
    ['lab fault heal h1', 2, /^weft: lab fault heal is done to two machines, or none/],
    ['lab fault kill', 2, /^weft: lab fault kill is done to one machine, as in: weft lab fault kill c1/],
    ['lab fault kill c1 c2', 2, /is done to one machine/],
    ['lab fault heal', 3, /^weft: there is no lab lab; make it with: weft lab up/],
    ['lab fault --lab other pause h1', 3, /^weft: there is no lab other/],
    ['lab fault pause h1 --lab other', 3, /^weft: there is no lab other/],
    ['lab list extra', 2, /too many arguments for 'ls'.*see weft lab ls --help/],
    ['lab down', 3, /^weft: there is no lab lab; weft lab ls lists/],
    ['lab exec h1 -- true', 3, /^weft: there is no lab lab; make it with: weft lab up/],
    ['lab exec h1 true --json', 3, /there is no lab/],
    ['lab exec h1', 2, /missing required argument 'cmd'/],
    ['lab exec --json h1 -- true', 2, /stdout belongs to the program/],
  ])('%s', async (line, status, says) => {
    const { exitCode, stdout, stderr } = await weft(line);
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect({ exitCode, stdout }).toEqual({ exitCode: status, stdout: '' });
  });

  it('says what to type next, for the lab that was made', () => {
    expect(renderNext('lab', ['h1', 'h2'])).toContain('\n  weft lab exec h2 -- weft run --network web');
    expect(renderNext('big', ['h1'])).toContain('\n  weft lab down --lab big\n');
    expect(renderNext('big', ['h1'])).toContain('weft lab exec --lab big h1 -- weft run');
  });
});
