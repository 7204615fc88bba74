import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { program } from './lab-host.js';
import { Lab } from './lab.js';
import { run } from './process.js';
import { identify, isAlive, isStopped, type ProcessIdentity } from './procfs.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-lab-test-'));
});
afterAll(async () => {
  for (const { name } of Lab.list({ dir })) await Lab.down(name, { dir });
  rmSync(dir, { recursive: true });
});

/** Whether one machine reaches another, by IPv4 and IPv6. */
async function reaches(lab: Lab, from: string, to: string): Promise<readonly boolean[]> {
  const { ipv4, ipv6 } = lab.machine(to).place;
  const ping = (address: string) => lab.machine(from).exec(['ping', '-c', '1', '-W', '1', address]);
  return (await Promise.all([ping(ipv4), ping(ipv6)])).map(({ code }) => code === 0);
}

/** Everything that runs on a lab's machines. */
function running(lab: Lab): ProcessIdentity[] {
  return [...lab.hosts, ...lab.controllers, ...lab.etcd]
    .flatMap((machine) => machine.programs())
    .map(({ pid }) => identify(pid))
    .filter((found) => found !== undefined);
}

const BOTH = [true, true];
const NEITHER = [false, false];

describe('a partition', () => {
  it('is between two machines, both ways, and no others, until it is healed', async () => {
    await using lab = await Lab.create({ name: 'cut', hosts: 2, controllers: 2, dir });
    const { faults } = lab;
    expect(await faults.partitions()).toEqual([]);
    // Neighbours that are known already: it is not by their resolution that the packets are lost.
    expect(await reaches(lab, 'h1', 'c2')).toEqual(BOTH);
    await faults.partition('h1', 'c2');
    await faults.partition('c2', 'h1');
    const pairs = ['h1 c2', 'c2 h1', 'h1 c1', 'h1 h2', 'h2 c2', 'c1 c2', 'e1 c2'].map((pair) => pair.split(' '));
    const seen = await Promise.all(pairs.map(([from = '', to = '']) => reaches(lab, from, to)));
    expect(seen).toEqual([NEITHER, NEITHER, BOTH, BOTH, BOTH, BOTH, BOTH]);
    // Whoever looks sees it: it is in the kernel, and nowhere else.
    expect(await Lab.open('cut', { dir }).faults.partitions()).toEqual([['h1', 'c2']]);
    await faults.partition('h1', 'e1');
    await faults.heal('h1', 'h2');
    await faults.heal('c2', 'h1');
    expect(await faults.partitions()).toEqual([['h1', 'e1']]);
    expect(await Promise.all(['c2', 'e1'].map((to) => reaches(lab, 'h1', to)))).toEqual([BOTH, NEITHER]);
    await faults.healAll();
    await faults.healAll();
    expect(await faults.partitions()).toEqual([]);
    expect(await reaches(lab, 'h1', 'e1')).toEqual(BOTH);
    await expect(faults.partition('h1', 'h9')).rejects.toMatchObject({
      kind: 'not-found',
      message: 'lab cut has no node h9; it has h1, h2, c1, c2, e1',
    });
    await expect(faults.partition('h1', 'h1')).rejects.toMatchObject({ kind: 'invalid' });
    // Nothing of it is in the machines' own rules.
    expect(await lab.machine('h1').must(['nft', 'list', 'tables'])).toBe('');
  });
});

describe('weft lab fault', () => {
  it('breaks and mends, shows it in the list, and says what is not possible', async () => {
    await using lab = await Lab.create({ name: 'typed', hosts: 1, dir });
    const weft = (...args: string[]) =>
      run([program('weft'), 'lab', ...args], { env: { WEFT_LAB_DIR: dir, PATH: process.env['PATH'] ?? '' } });
    expect(await weft('fault', '--lab', 'typed', 'partition', 'h1', 'c1')).toEqual({
      ...{ code: 0, stdout: 'partition h1 c1\n', stderr: '' },
    });
    expect(await reaches(lab, 'h1', 'c1')).toEqual(NEITHER);
    const { labs } = JSON.parse((await weft('ls', '--json')).stdout) as { labs: unknown[] };
    expect(labs).toMatchObject([
      { name: 'typed', nodes: [{ name: 'h1' }, { name: 'c1' }], partitions: [['h1', 'c1']] },
    ]);
    expect((await weft('ls')).stdout).toMatch(/^typed +up +h1 +host +192\.0\.2\.1 +dead +c1$/m);
    const healed = await weft('fault', 'heal', '--lab', 'typed', '--json');
    expect(JSON.parse(healed.stdout)).toEqual({ lab: 'typed', fault: 'heal', nodes: [] });
    expect(await reaches(lab, 'h1', 'c1')).toEqual(BOTH);
    const refused = await weft('fault', '--lab', 'typed', 'kill', 'c1');
    expect([refused.code, refused.stdout]).toEqual([4, '']);
    expect(refused.stderr).toContain('weft lab fault --lab typed restart c1');
    expect((await weft('fault', '--lab', 'typed', 'kill', 'x')).code).toBe(3);
  });
});

describe('the daemons of a lab with an etcd inside its controller', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.up({ name: 'one', hosts: 1, dir });
  });

  const states = () => Lab.list({ dir }).flatMap(({ nodes }) => nodes.map(({ name, daemon }) => [name, daemon]));

  it('stand still and go on, with all that they started', async () => {
    const etcd = identify(lab.c1.etcd()?.pid ?? 0);
    if (etcd === undefined) throw new Error('no etcd runs');
    await lab.faults.pause('c1');
    await lab.faults.pause('c1');
    expect([isStopped(etcd), lab.controller.state, states()]).toEqual([
      true,
      'paused',
      [
        ['h1', 'running'],
        ['c1', 'paused'],
      ],
    ]);
    expect((await lab.host('h1').exec(['weft', '--timeout', '1', 'status'])).code).toBe(5);
    expect(lab.faults.resume('c1')).toBe('running');
    expect(lab.faults.resume('c1')).toBe('running');
    await lab.waitForHosts();
    expect([isAlive(etcd), isStopped(etcd)]).toEqual([true, false]);
  });

  it('die, with all that they started, and are started again', async () => {
    const etcd = identify(lab.c1.etcd()?.pid ?? 0);
    expect(await lab.faults.kill('c1')).toBe('dead');
    expect(await lab.faults.kill('h1')).toBe('dead');
    expect([etcd && isAlive(etcd), running(lab), lab.controller.state]).toEqual([false, [], 'dead']);
    for (const fault of ['kill', 'pause', 'resume'] as const) {
      await expect(async () => lab.faults[fault]('h1'), fault).rejects.toMatchObject({
        kind: 'state',
        message: 'the agent on h1 is dead; start it again with: weft lab fault --lab one restart h1',
      });
    }
    expect(await lab.faults.restart('c1')).toBe('running');
    expect(await lab.faults.restart('h1')).toBe('running');
    await lab.waitForHosts();
  });

  it('are stopped first where they run, or stand still, when they are to be started', async () => {
    const before = lab.host('h1').agent.process?.identity;
    await lab.faults.pause('h1');
    expect(await lab.faults.restart('h1')).toBe('running');
    const after = lab.host('h1').agent.process?.identity;
    expect([before && isAlive(before), after && isAlive(after)]).toEqual([false, true]);
    await lab.faults.restart('h1');
    expect(after && isAlive(after)).toBe(false);
    await lab.waitForHosts();
  });

  it('end with their lab, whatever was done to them', async () => {
    await lab.faults.pause('c1');
    await lab.faults.pause('h1');
    await lab.faults.partition('h1', 'c1');
    const before = running(lab);
    // An agent, a controller and its etcd.
    expect(before.length).toBeGreaterThanOrEqual(3);
    await lab.down();
    expect(before.filter(isAlive)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
  });
});

describe('a lab of three controllers and three etcd members', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.up({ name: 'many', hosts: 2, controllers: 3, etcd: 3, dir });
  });

  const names = ['c1', 'c2', 'c3'];
  const address = (name: string): string => lab.controllers.find((each) => each.name === name)?.address ?? '';
  const attach = (sandbox: string) => lab.weft('h1', ['sandbox', 'create', '--network', 'web', sandbox]);

  it('has them all running, on one state', async () => {
    expect(Lab.list({ dir })).toMatchObject([
      { name: 'many', hosts: ['h1', 'h2'], controllers: names, etcd: ['e1', 'e2', 'e3'], state: 'up' },
    ]);
    const nodes = Lab.list({ dir })[0]?.nodes ?? [];
    expect(nodes.map(({ name, kind, daemon }) => `${name} ${kind} ${daemon}`)).toEqual([
      ...['h1 host running', 'h2 host running'],
      ...names.map((name) => `${name} controller running`),
      ...['e1 etcd running', 'e2 etcd running', 'e3 etcd running'],
    ]);
    await lab.weft('h1', ['--controller', address('c2'), 'network', 'create', 'web']);
    for (const name of names) {
      const seen = async () => lab.weft('h2', ['--controller', address(name), 'network', 'inspect', 'web']);
      await expect.poll(() => seen().catch(String), { timeout: 10_000 }).toMatchObject({ name: 'web' });
    }
    expect(await lab.leftovers()).toContain('etcd: /weft/v1/g/names/network/web');
  });

  it('has hosts attach through any of them, and the last that is left', async () => {
    for (const [index, only] of names.entries()) {
      for (const other of names.filter((name) => name !== only)) await lab.faults.kill(other);
      await lab.waitForHosts();
      await attach(`box${String(index)}`);
      await Promise.all(names.filter((name) => name !== only).map((name) => lab.faults.restart(name)));
    }
    const { endpoints } = (await lab.weft('h2', ['endpoint', 'ls'])) as { endpoints: { sandbox: string }[] };
    expect(endpoints.map(({ sandbox }) => sandbox).sort()).toEqual(['box0', 'box1', 'box2']);
  });

  it('notices a controller that hangs, and one that is cut off, within seconds', async () => {
    const faults = [
      { make: (name: string) => lab.faults.pause(name), end: (name: string) => lab.faults.resume(name) },
      { make: (name: string) => lab.faults.partition('h1', name), end: () => lab.faults.healAll() },
    ];
    for (const { make, end } of faults) {
      const from = await followedBy('h1');
      await make(from);
      const began = performance.now();
      await expect.poll(() => followedBy('h1', from), { timeout: 15_000 }).not.toBe('');
      expect(performance.now() - began).toBeLessThan(10_000);
      await end(from);
    }
  });

  it('goes on without an etcd member, dead or hanging', async () => {
    await lab.faults.kill('e1');
    await lab.weft('h1', ['network', 'create', 'without']);
    expect(await lab.faults.restart('e1')).toBe('running');
    await lab.faults.pause('e2');
    await lab.weft('h1', ['network', 'rm', 'without']);
    lab.faults.resume('e2');
    expect(await lab.faults.kill('e3')).toBe('dead');
    expect(await lab.faults.kill('e2')).toBe('dead');
    // Alone among three it cannot answer, and its process is there all the same.
    expect(await lab.faults.restart('e2')).toBe('running');
    expect(await lab.faults.restart('e3')).toBe('running');
  });

  it('ends whole while half of it stands still', async () => {
    for (const name of ['h1', 'c1', 'c2', 'e1']) await lab.faults.pause(name);
    await lab.faults.kill('e2');
    await lab.faults.partition('h1', 'h2');
    const before = running(lab);
    await lab.down();
    expect(before.filter(isAlive)).toEqual([]);
    expect(existsSync(lab.directory)).toBe(false);
  });

  /** The controller, other than `but`, that says it has this host's stream; '' for none. */
  async function followedBy(host: string, but = ''): Promise<string> {
    for (const name of names.filter((each) => each !== but)) {
      // From its own machine, which no partition of the host touches.
      const { hosts } = (await lab.weft(name, ['--controller', address(name), 'host', 'ls'])) as {
        hosts: { name: string; state: string }[];
      };
      if (hosts.some((each) => each.name === host && each.state === 'HOST_STATE_READY')) return name;
    }
    return '';
  }
});
