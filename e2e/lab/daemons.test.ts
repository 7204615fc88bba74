import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from './lab.js';
import type { Progress } from './progress.js';

let dir: string;
let lab: Lab;
const progress: Progress[] = [];
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-lab-test-'));
  lab = await Lab.up({ name: 'daemons', hosts: 2, dir, onProgress: (item) => progress.push(item) });
});
afterAll(async () => {
  await Lab.down('daemons', { dir });
  rmSync(dir, { recursive: true });
});

describe('a lab that is up', () => {
  it('has every host ready, at its address on the underlay', async () => {
    const { hosts } = (await lab.weft('h1', ['host', 'ls'])) as { hosts: { name: string }[] };
    expect(hosts.sort((a, b) => a.name.localeCompare(b.name))).toMatchObject([
      { name: 'h1', vtep: '192.0.2.1', state: 'HOST_STATE_READY' },
      { name: 'h2', vtep: '192.0.2.2', state: 'HOST_STATE_READY' },
    ]);
    expect(progress.filter(({ state }) => state === 'done').map(({ step }) => step)).toEqual([
      'machines h1 h2 c1',
      'controller',
      'credentials',
      'agents',
      'hosts ready',
    ]);
  });

  it('has nothing in it yet', async () => {
    expect(await lab.leftovers()).toEqual([]);
  });

  it('names what is there: in etcd, and on hosts', async () => {
    await lab.weft('c1', ['network', 'create', 'seen']);
    await lab.host('h1').must(['ip', 'link', 'add', 'spare', 'type', 'bridge']);
    await lab.host('h1').must(['ip', 'netns', 'add', 'spare']);
    const sleeper = await lab.host('h2').spawn(['sleep', '1000'], { log: 'sleeper' });
    const found = await lab.leftovers();
    expect(found).toContain('h1: link spare');
    expect(found).toContain('h1: namespace spare');
    expect(found).toContain(`h2: process ${String(sleeper.identity.pid)} sleep 1000`);
    expect(found).toContain('etcd: /weft/v1/g/names/network/seen');
    await sleeper.kill();
    await lab.host('h1').must(['ip', 'netns', 'delete', 'spare']);
    await lab.host('h1').must(['ip', 'link', 'delete', 'spare']);
    await lab.weft('c1', ['network', 'rm', 'seen']);
    expect(await lab.leftovers()).toEqual([]);
  });

  it('gives its daemons to whoever opens it', async () => {
    const opened = Lab.open('daemons', { dir });
    expect([opened.controller.running, opened.host('h2').agent.running]).toEqual([true, true]);
    await expect(opened.host('h2').agent.start()).rejects.toMatchObject({ kind: 'exists' });
    expect(await opened.host('h2').agent.kill()).toEqual({ code: undefined, signal: undefined });
    expect(lab.host('h2').agent.running).toBe(false);
    expect(await lab.host('h2').agent.exited()).toEqual({ code: undefined, signal: 'SIGKILL' });
    await lab.host('h2').agent.start();
    await lab.waitForHosts();
  });

  it('says why a daemon does not start', async () => {
    await lab.host('h1').agent.stop();
    await expect(lab.host('h1').agent.start({ args: ['--no-such-flag'] })).rejects.toMatchObject({
      kind: 'failed',
      message: expect.stringContaining('no-such-flag') as string,
    });
    await lab.host('h1').agent.start();
    await lab.waitForHosts();
  });

  it('survives the end of its etcd, and of its controller', async () => {
    const before = lab.c1.etcd()?.pid;
    await lab.c1.killEtcd();
    await lab.waitForHosts();
    expect(lab.c1.etcd()?.pid).not.toBe(before);
    await lab.controller.kill();
    await lab.controller.start();
    await lab.waitForHosts();
    expect(lab.c1.programs().filter(({ command }) => command === 'etcd')).toHaveLength(1);
  });
});
