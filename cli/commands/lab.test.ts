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
    expect(await weft('lab ls')).toEqual({ exitCode: 0, stdout: 'LAB   STATE   HOSTS   CONTROLLERS\n', stderr: '' });
    expect(await weft('lab ls --json')).toEqual({ exitCode: 0, stdout: '{"labs":[]}\n', stderr: '' });
  });

  it.each([
    ['lab up --controllers 3', 2, /^weft: --controllers 3: not built yet/],
    ['lab up --etcd 3 --docker', 2, /^weft: --etcd 3, --docker: not built yet/],
    ['lab up --vm', 2, /^weft: --vm: not built yet/],
    ['lab up --hosts 0', 2, /^weft: --hosts: expected how many hosts, at least 1, not "0"/],
    ['lab up --hosts many', 2, /^weft: --hosts: expected how many hosts/],
    ['lab up --hosts 500', 2, /^weft: --hosts 500: a lab has 1 to/],
    ['lab up --lab ../x', 2, /^weft: --lab "\.\.\/x": a name has/],
    ['lab fault heal', 2, /^weft: unknown command 'fault'/],
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
