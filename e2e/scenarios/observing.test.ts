import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.js';
import type { NamespaceHost } from '../lab/namespace-host.js';

/** Log lines of a daemon that carry this request's id. */
async function linesAbout(logFile: string, requestId: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(logFile, 'utf8')).split('\n').filter((line) => line.includes(requestId));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What a page says that a daemon serves on its own loopback, behind its status. */
async function read(machine: NamespaceHost, port: number, path: string): Promise<string> {
  const url = `http://127.0.0.1:${String(port)}${path}`;
  const script = `fetch('${url}').then(async (page) => console.log(page.status + ' ' + (await page.text())))`;
  return machine.must([process.execPath, '-e', script]);
}

async function metric(machine: NamespaceHost, port: number, name: string): Promise<number> {
  const page = await read(machine, port, '/metrics');
  const value = new RegExp(`^${name} ([0-9.e+]+)$`, 'm').exec(page)?.[1];
  if (value === undefined) throw new Error(`${name} is not on the page of ${machine.name}`);
  return Number(value);
}

describe('whoever operates a cluster', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.up({ name: 'observing', hosts: 2 });
    await lab.weft('h1', ['network', 'create', 'web']);
    await lab.weft('h2', ['sandbox', 'create', '--network', 'web', '--wait', 'peer']);
  });

  afterAll(async () => {
    await Lab.down('observing');
  });

  it('follows one request by its id from the CLI to every host it concerns', async () => {
    const { code, stderr } = await lab
      .host('h1')
      .exec(['weft', '--verbose', 'sandbox', 'create', '--network', 'web', '--wait', 'followed']);
    expect(code, stderr).toBe(0);
    const requestId = /request ([0-9a-f-]{36})/.exec(stderr)?.[1] ?? '';
    expect(requestId).not.toBe('');
    const messages = async (logFile: string): Promise<unknown[]> =>
      (await linesAbout(logFile, requestId)).map(({ msg }) => msg);
    expect(await messages(lab.controller.logFile)).toContain('endpoint created');
    expect(await messages(lab.host('h1').agent.logFile)).toContain('endpoint attached');
    // --wait has returned, so the other host's kernel has it, and its agent has said so.
    expect(await messages(lab.host('h2').agent.logFile)).toContain('the kernel has it');
  });

  it('hears from both daemons that they live and can do their work', async () => {
    for (const path of ['/livez', '/readyz']) {
      expect((await read(lab.c1, 9470, path)).trim()).toBe('200 ok');
      await expect.poll(async () => (await read(lab.host('h2'), 9471, path)).trim()).toBe('200 ok');
    }
  });

  it('sees both daemons count', async () => {
    expect(await metric(lab.c1, 9470, 'weft_controller_streams')).toBe(2);
    const before = await metric(lab.host('h1'), 9471, 'weft_agent_kernel_writes_total');
    await lab.weft('h1', ['sandbox', 'create', '--network', 'web', 'counted']);
    expect(await metric(lab.host('h1'), 9471, 'weft_agent_kernel_writes_total')).toBeGreaterThan(before);
    const revision = await metric(lab.c1, 9470, 'weft_controller_cache_revision');
    await expect.poll(() => metric(lab.host('h2'), 9471, 'weft_agent_known_revision')).toBeGreaterThanOrEqual(revision);
  });
});
