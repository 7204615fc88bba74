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
});

describe('renderStatus', () => {
  it('is one screen, hosts in the order of their numbers', () => {
    expect(renderStatus(status, '192.0.2.201:7070', (word) => word)).toBe(
      `cluster       6d6f0c4e-0f0b-4a58-9d5c-0f6a1f1c2b3d
epoch         0b1c2d3e-0f0b-4a58-9d5c-0f6a1f1c2b3d
controllers   192.0.2.201:7070 (version 0.1.0)
etcd          healthy, version 3.4.23, the controller's own
              20.0 KiB on disk
revision      45
networks      2
endpoints     6
hosts         3, 2 ready

HOST   VTEP        STATE         ACKED   BEHIND   VERSION   PROBLEMS
h1     192.0.2.1   ready         45      -        0.1.0     -
h2     192.0.2.2   unreachable   0       45       0.1.0     -
h3     192.0.2.3   ready         41      4        0.1.0     1

problems
  h3: network web, link vxlan0: Operation not permitted`,
    );
  });

  it('needs no hosts and no etcd', () => {
    const text = renderStatus(GetStatusResponse.fromPartial({ clusterId: 'c' }), 'a:1', (word) => word);
    expect(text).toContain('etcd          unknown');
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
      /ready\n\nwarnings\n {2}etcd https:\/\/192\.0\.2\.1:2379: no space is left; give it more \(ETCD_NO_SPACE\)\n {2}network web: 230 of 253 addresses are used; grow it \(ADDRESSES_SCARCE\)$/,
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
