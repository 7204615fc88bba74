import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newEndpointId, newNetworkId } from '../../core/ids.js';
import { nextIfname, type AttachmentRecord, type SandboxRecord } from './record.js';
import { SandboxRegistry } from './registry.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'weft-registry-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const attachment = (ifname: string): AttachmentRecord => ({
  endpointId: newEndpointId(),
  network: 'web',
  ifname,
  addresses: ['10.1.0.5'],
  mac: '',
  aliases: ['www'],
  labels: { a: 'b' },
  state: 'attached',
  networkId: newNetworkId(),
  revision: '12',
  requestId: 'r',
});
const record = (name: string, ...ifnames: string[]): SandboxRecord => ({
  name,
  state: 'present',
  attachments: ifnames.map(attachment),
});

describe('the records of sandboxes', () => {
  it('sweeps what a killed agent left half written, and nothing that was begun since', async () => {
    const folder = path.join(directory, 'sandboxes');
    await SandboxRegistry.open(directory).put(record('a', 'eth0'));
    writeFileSync(path.join(folder, '.b.json.1.tmp'), '{"na');
    const registry = SandboxRegistry.open(directory);
    expect(registry.problems).toEqual([]);
    expect(readdirSync(folder)).toContain('.b.json.1.tmp');
    writeFileSync(path.join(folder, '.c.json.2.tmp'), '{"na');
    await registry.sweep();
    expect(readdirSync(folder).sort()).toEqual(['.c.json.2.tmp', 'a.json']);
  });

  it('are there again after a restart', async () => {
    const registry = SandboxRegistry.open(directory);
    const [a, b] = [record('a', 'eth0', 'eth1'), record('b')];
    await Promise.all([registry.put(b), registry.put(a)]);
    await registry.put({ ...b, state: 'removing' });
    const again = SandboxRegistry.open(directory);
    expect(again.problems).toEqual([]);
    expect(again.list()).toEqual([a, { ...b, state: 'removing' }]);
    await again.drop('a');
    expect(
      SandboxRegistry.open(directory)
        .list()
        .map(({ name }) => name),
    ).toEqual(['b']);
  });

  it('reach the disk in the order in which they were put', async () => {
    const registry = SandboxRegistry.open(directory);
    const all = ['eth0', 'eth1', 'eth2', 'eth3'].map((ifname) => registry.put(record('a', ifname)));
    await Promise.all(all);
    expect(SandboxRegistry.open(directory).get('a')?.attachments[0]?.ifname).toBe('eth3');
    expect(readdirSync(path.join(directory, 'sandboxes'))).toEqual(['a.json']);
  });

  for (const [what, text] of [
    ['half a file', '{"version":1,"name":"a"'],
    ['another version', '{"version":2,"name":"a","state":"present","attachments":[]}'],
    ['another sandbox', '{"version":1,"name":"b","state":"present","attachments":[]}'],
    ['a name that leads elsewhere', '{"version":1,"name":"../a","state":"present","attachments":[]}'],
    ['nothing', ''],
  ] as const) {
    it(`that hold ${what} are told, left alone, and keep their name`, () => {
      const file = path.join(directory, 'sandboxes', 'a.json');
      SandboxRegistry.open(directory);
      writeFileSync(file, text);
      const registry = SandboxRegistry.open(directory);
      expect(registry.list()).toEqual([]);
      expect(registry.unreadable).toEqual(['a']);
      expect(registry.problems.map(({ object }) => object)).toEqual([file]);
      expect(registry.isUnreadable('a')).toBe(true);
      expect(readFileSync(file, 'utf8')).toBe(text);
    });
  }

  it('name the first interface that is free', () => {
    expect(nextIfname([])).toBe('eth0');
    expect(nextIfname([{ ifname: 'eth1' }, { ifname: 'eth0' }])).toBe('eth2');
    expect(nextIfname([{ ifname: 'eth1' }])).toBe('eth0');
  });
});
