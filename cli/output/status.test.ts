import { describe, expect, it } from 'vitest';
import { GetStatusResponse } from '../../proto/gen/weft/v1/cluster.js';
import { HostState } from '../../proto/gen/weft/v1/host.js';
import { describeLaggards } from '../wait.js';
import { makePaint } from './states.js';
import { renderStatus } from './status.js';

const status = GetStatusResponse.fromPartial({
  clusterId: '6d6f0c4e-0f0b-4a58-9d5c-0f6a1f1c2b3d',
  epoch: '0b1c2d3e-0f0b-4a58-9d5c-0f6a1f1c2b3d',
  revision: 45n,
  version: '0.1.0',
  etcd: { embedded: true, endpoints: ['https://127.0.0.1:2379'], version: '3.4.23', databaseSize: 20_480n },
  networks: 2,
  endpoints: 6,
  hosts: [
    {
      name: 'h3',
      vtep: '192.0.2.3',
      number: 3,
      version: '0.1.0',
      state: HostState.HOST_STATE_READY,
      ackedRevision: 41n,
      problems: [{ object: 'network web, link vxlan0', message: 'Operation not permitted' }],
    },
    {
      name: 'h1',
      vtep: '192.0.2.1',
      number: 1,
      version: '0.1.0',
      state: HostState.HOST_STATE_READY,
      ackedRevision: 45n,
    },
    { name: 'h2', vtep: '192.0.2.2', number: 2, version: '0.1.0', state: HostState.HOST_STATE_UNREACHABLE },
  ],
  agents: { ready: 2, inSync: 1, behind: 1, unreachable: 1 },
  laggards: [{ host: 'h3', ackedRevision: 41n, controller: 'c1', reason: 'network web, link vxlan0: ...' }],
  controllers: [
    {
      ...{ name: 'c1', address: '192.0.2.201:7070', version: '0.1.0', reachable: true, self: true, agents: 2 },
    },
    { name: 'c2', address: '192.0.2.202:7070', version: '0.1.0', reachable: true, leader: true },
    { name: 'c3', address: '192.0.2.203:7070', version: '0.1.0', problem: 'no answer within 1 s' },
  ],
});

describe('renderStatus', () => {
  it('is one screen: what is well is counted, what is not is named', () => {
    expect(renderStatus(status, '192.0.2.201:7070', (word) => word)).toBe(
      `cluster       6d6f0c4e-0f0b-4a58-9d5c-0f6a1f1c2b3d
epoch         0b1c2d3e-0f0b-4a58-9d5c-0f6a1f1c2b3d
controllers   c1 192.0.2.201:7070 ready, version 0.1.0, 2 agents, answers this
              c2 192.0.2.202:7070 ready, version 0.1.0, 0 agents, leader
              c3 192.0.2.203:7070 down: no answer within 1 s, version 0.1.0, 0 agents
etcd          healthy, version 3.4.23, the controller's own
              20.0 KiB on disk
revision      45
networks      2
endpoints     6
hosts         3: 2 ready (1 in sync, 1 behind), 1 unreachable

HOST   STATE         ACKED   BEHIND   WHY
h2     unreachable   -       -        no controller hears from its agent
h3     ready         41      4        network web, link vxlan0: Operation not permitted`,
    );
  });

  it('is one screen for a thousand hosts of which many are late, and names no host that is well', () => {
    const name = (n: number) => `h${String(n)}`;
    const hosts = Array.from({ length: 1_000 }, (_, n) => ({
      ...{ name: name(n), state: HostState.HOST_STATE_READY, ackedRevision: n % 2 === 0 ? 45n : 40n },
    }));
    const laggards = hosts.filter((_, n) => n % 2 === 1).map(({ name: host }) => ({ host, reason: '' }));
    const warnings = Array.from({ length: 50 }, (_, n) => ({
      ...{ reason: 'ADDRESSES_SCARCE', object: `network n${String(n)}`, message: 'grow it' },
    }));
    const etcd = { version: '3.5.1', endpoints: ['a', 'b', 'c'], members: [member(1), member(2), down(3)] };
    const agents = { ready: 1_000, inSync: 500, behind: 500 };
    const controllers = Array.from({ length: 9 }, (_, n) => ({ name: `c${String(n)}`, reachable: n !== 8 }));
    const text = render({
      revision: 45n,
      hosts,
      agents,
      laggards: laggards.slice(0, 100),
      warnings,
      etcd,
      controllers,
    });
    expect(text.split('\n').length).toBeLessThanOrEqual(40);
    expect(text).toContain('1000: 1000 ready (500 in sync, 500 behind)');
    expect(text).toMatch(/\nh15 +ready +40 +5 +it has not said\nand 92 more: weft host ls$/);
    expect(text).not.toMatch(/\nh2 /);
    expect(text).toContain('  and 42 more: weft status --json\n');
    expect(text).toContain('c8  down: ');
  });

  it('needs no hosts and no etcd', () => {
    const text = renderStatus(GetStatusResponse.fromPartial({ clusterId: 'c' }), 'a:1', (word) => word);
    expect(text).toContain('etcd          unknown');
    expect(text).toContain('hosts         0');
    expect(text).not.toContain('HOST ');
    expect(text).not.toContain('warnings');
  });

  const member = (n: number) => ({ endpoint: `https://192.0.2.${String(n)}:2379`, healthy: true, leader: n === 1 });
  const down = (n: number) => ({ ...member(n), healthy: false, leader: false, problem: 'connection refused' });
  const render = (fields: Parameters<typeof GetStatusResponse.fromPartial>[0]) =>
    renderStatus(GetStatusResponse.fromPartial(fields), 'a:1', (word) => word);

  it('has of an etcd with several members each one, and what it has room for', () => {
    const etcd = {
      endpoints: ['https://192.0.2.1:2379', 'https://192.0.2.2:2379', 'https://192.0.2.3:2379'],
      version: '3.5.1',
      ...{ databaseSize: 1_610_612_736n, databaseSizeInUse: 419_430_400n, databaseQuota: 2_147_483_648n },
      members: [member(1), member(2), down(3)],
    };
    expect(render({ etcd })).toContain(`
etcd          degraded, version 3.5.1, 3 members
              1.5 GiB on disk, 400.0 MiB in use, quota 2.0 GiB (75 % of it)
              https://192.0.2.1:2379 healthy, leader
              https://192.0.2.2:2379 healthy
              https://192.0.2.3:2379 down: connection refused
revision      0
`);
  });

  it.each([
    ['healthy', [member(1)], []],
    ['healthy', [member(1), member(2), member(3)], ['ADDRESSES_SCARCE']],
    ['degraded', [member(1)], ['ETCD_NEARLY_FULL']],
    ['full', [member(1)], ['ETCD_NO_SPACE']],
    ['damaged', [member(1)], ['ETCD_CORRUPT', 'ETCD_NO_SPACE']],
    ['unavailable', [down(1)], ['ETCD_NO_SPACE']],
    ['unavailable', [member(1), down(2)], []],
    ['unavailable', [member(1), down(2), down(3)], []],
  ])('says etcd is %s', (word, members, reasons) => {
    const warnings = reasons.map((reason) => ({ reason, object: 'etcd', message: 'do something' }));
    expect(render({ etcd: { embedded: true, members, version: '3.4.23' }, warnings })).toContain(
      `\netcd          ${word}, version 3.4.23, the controller's own\n`,
    );
  });

  it('says where an embedded one keeps its files', () => {
    expect(render({ etcd: { embedded: true, dataDir: '/var/lib/weft-controller/etcd' } })).toContain(
      "healthy, the controller's own, in /var/lib/weft-controller/etcd\n",
    );
  });

  it('has every warning, with what to do, in the order of the controller', () => {
    const warnings = [
      { reason: 'ETCD_NO_SPACE', object: 'etcd https://192.0.2.1:2379', message: 'no space is left; give it more' },
      { reason: 'ADDRESSES_SCARCE', object: 'network web', message: '230 of 253 addresses are used; grow it' },
    ];
    expect(render({ warnings })).toMatch(
      /hosts +0\n\nwarnings\n {2}etcd https:\/\/192\.0\.2\.1:2379: no space is left; give it more \(ETCD_NO_SPACE\)\n {2}network web: 230 of 253 addresses are used; grow it \(ADDRESSES_SCARCE\)$/,
    );
  });
});

describe('describeLaggards', () => {
  it('names reachable hosts that have not acked', () => {
    expect(describeLaggards(status.hosts, 45n)).toBe('h3 (acked 41 of 45)');
  });
});

describe('makePaint', () => {
  const terminal = { write: () => undefined, isTty: true };

  it('colours on a terminal only, and not with NO_COLOR', () => {
    expect(makePaint({ stdout: terminal, env: {} })('ready')).toBe('\u001b[32mready\u001b[39m');
    expect(makePaint({ stdout: { ...terminal, isTty: false }, env: {} })('ready')).toBe('ready');
    expect(makePaint({ stdout: terminal, env: { NO_COLOR: '1' } })('ready')).toBe('ready');
  });
});

describe('the size of the database', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [25_165_824, '24.0 MiB'],
    [3 * 1024 ** 4, '3072.0 GiB'],
  ])('%d is %s', (bytes, text) => {
    const etcd = { embedded: true, endpoints: [], version: '3.4.23', databaseSize: BigInt(bytes) };
    const lines = renderStatus(GetStatusResponse.fromPartial({ etcd }), 'a:1', (word) => word);
    expect(lines).toContain(`\n              ${text} on disk\n`);
  });
});
