/** What needs a cluster with hosts: networks that change in use, addresses that change hands, the state in a file. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from './run-command.js';
import { startTestController, type TestController } from './controller.testing.js';
import { joinHost, type TestHost } from './host.testing.js';
import { testSurroundings, typing } from './surroundings.testing.js';
import type { Surroundings } from './surroundings.js';

let controller: TestController;
let hosts: readonly [TestHost, TestHost];
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'weft-cli-'));
  controller = await startTestController(['--quarantine', '1', '--endpoints-per-network', '300']);
  hosts = [await joinHost(controller, 'h1', '192.0.2.1'), await joinHost(controller, 'h2', '192.0.2.2')];
}, 40_000);
afterAll(async () => {
  for (const host of hosts) await host[Symbol.asyncDispose]();
  await controller[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

/** Types a line, its words separated by one space. */
async function weft(line: string, overrides: Partial<Surroundings> = {}) {
  const { surroundings, written, bytes } = testSurroundings({ env: controller.env, ...overrides });
  const exitCode = await runCommand(line.split(' '), surroundings);
  return { exitCode, ...written, bytes };
}

async function json<T>(line: string): Promise<T> {
  const { exitCode, stdout, stderr } = await weft(`${line} --json`);
  expect(stderr).toBe('');
  expect(exitCode).toBe(0);
  return JSON.parse(stdout) as T;
}

interface NetworkJson {
  readonly name: string;
  readonly revision: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, string>>;
  readonly mtu?: number;
  readonly subnets: readonly { readonly cidr: string }[];
}

async function cidrsOf(network: string): Promise<readonly string[]> {
  const { subnets } = await json<NetworkJson>(`network inspect ${network}`);
  return subnets.map(({ cidr }) => cidr);
}

/** Names in `network ls` with these flags. */
async function listed(flags: string): Promise<readonly string[]> {
  const { networks } = await json<{ networks: readonly NetworkJson[] }>(`network ls ${flags}`);
  return networks.map(({ name }) => name);
}

describe('weft network update', () => {
  beforeAll(async () => {
    await weft('network create --subnet 10.20.0.0/24 --label tier=front --label old -o dns-ttl=5 live');
  });
  afterAll(async () => {
    await weft('network rm live');
  });

  it('changes labels and options, and leaves what was not named', async () => {
    expect(await weft('network update --label tier=back --label-rm old -o mtu=1400 --wait live')).toMatchObject({
      ...{ exitCode: 0, stdout: 'live\n', stderr: '' },
    });
    expect(await json('network inspect live')).toMatchObject({
      ...{ labels: { tier: 'back' }, options: { mtu: '1400', 'dns-ttl': '5' }, mtu: 1400 },
    });
    const after = await json<NetworkJson>('network update --option-rm mtu --option-rm dns-ttl live');
    expect(after).toMatchObject({ name: 'live', labels: { tier: 'back' } });
    expect(after.options).toBeUndefined();
    expect(after.mtu).toBeUndefined();
  });

  it('grows, adds, shrinks and removes subnets', async () => {
    await json('network update --grow 10.20.0.0/16 live');
    expect(await cidrsOf('live')).toEqual(['10.20.0.0/16']);
    await json('network update --add-subnet fd00:20::/64 --gateway fd00:20::fe --aux-address nas=10.20.9.9 live');
    expect(await json('network inspect live')).toMatchObject({
      subnets: [
        { cidr: '10.20.0.0/16', gateway: '10.20.0.1', auxAddresses: { nas: '10.20.9.9' } },
        { cidr: 'fd00:20::/64', gateway: 'fd00:20::fe' },
      ],
    });
    await json('network update --rm-subnet fd00:20::/64 live');
    const outside = await weft('network update --shrink 10.20.0.0/24 live');
    expect(outside).toMatchObject({ exitCode: 2, stdout: '' });
    expect(outside.stderr).toMatch(
      /^weft: --shrink: [^\n]*10\.20\.9\.9[^\n]*; give it up with --aux-address-rm NAME\n$/,
    );
    await json('network update --shrink 10.20.0.0/24 --aux-address-rm nas live');
    expect(await cidrsOf('live')).toEqual(['10.20.0.0/24']);
    const noGateway = await weft('network update --shrink 10.20.0.128/25 live');
    expect(noGateway).toMatchObject({ exitCode: 2, stdout: '' });
    expect(noGateway.stderr).toMatch(/^weft: --shrink: [^\n]*10\.20\.0\.1 [^\n]*; name another with --gateway\n$/);
    const unknown = await weft('network update --label-rm nope live');
    expect(unknown).toMatchObject({ exitCode: 2, stdout: '' });
    expect(unknown.stderr).toMatch(/^weft: --label-rm: there is no label "nope" to remove \(network live has /);
  });

  it('takes several, and ids as the table shows them', async () => {
    await weft('network create other');
    const [first] = (await json<{ networks: readonly { id: string }[] }>('network ls --filter name=live')).networks;
    const id = first?.id.replaceAll('-', '').slice(0, 12) ?? '';
    const both = await weft(`network update --label x=1 other nothing ${id} none`);
    expect(both).toMatchObject({ exitCode: 3, stdout: `other\n${id}\n` });
    expect(both.stderr).toMatch(
      /^weft: there is no network "nothing"[^\n]*\nweft: NETWORK: none is predefined[^\n]*\n$/,
    );
    const shown = await json<{ networks: readonly NetworkJson[] }>('network update --label y=2 other live');
    expect(shown.networks.map(({ name, labels }) => [name, labels?.['x'], labels?.['y']])).toEqual([
      ['other', '1', '2'],
      ['live', '1', '2'],
    ]);
    await weft('network rm other');
  });

  it('loses nothing when many change it at once', async () => {
    const updates = [1, 2, 3, 4, 5].map((n) => weft(`network update --label at-once-${String(n)} live`));
    for (const { exitCode, stderr } of await Promise.all(updates)) expect(stderr).toBe(exitCode === 0 ? '' : stderr);
    expect((await Promise.all(updates)).map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0, 0]);
    const { labels } = await json<NetworkJson>('network inspect live');
    expect(Object.keys(labels ?? {}).filter((key) => key.startsWith('at-once'))).toHaveLength(5);
  });

  it('refuses what an endpoint would lose, naming who has it and the option as it was typed', async () => {
    await weft('network create --subnet 10.24.0.0/16 held');
    const endpoint = await hosts[0].attach('held', 'shop', '10.24.200.7');
    expect(await weft('network update --shrink 10.24.0.0/24 held')).toMatchObject({
      exitCode: 4,
      stderr: expect.stringMatching(/^weft: [^\n]*10\.24\.200\.7 \(shop@h1\)[^\n]*\n$/) as unknown,
    });
    await weft('network create --subnet 10.21.0.0/24 --subnet 10.21.1.0/24 two');
    const merged = await weft('network update --grow 10.21.0.0/16 two');
    expect(merged).toMatchObject({ exitCode: 2, stdout: '' });
    expect(merged.stderr).toMatch(/^weft: --grow: 10\.21\.0\.0\/16 would make one subnet of 10\.21\.0\.0\/24 and/);
    const wide = await weft('network update --add-subnet 10.22.0.0/31 two');
    expect(wide).toMatchObject({ exitCode: 2, stdout: '' });
    expect(wide.stderr).toMatch(/^weft: --add-subnet: /);
    await weft('network rm two');
    await hosts[0].detach(endpoint);
    await expect.poll(async () => (await weft('network update --shrink 10.24.0.0/24 held')).exitCode).toBe(0);
    await weft('network rm held');
  });
});

describe('weft network inspect', () => {
  it('shows how many addresses are left, who is there, and where the MTU is from', async () => {
    await weft('network create --subnet 10.30.0.0/28 --subnet fd00:30::/64 small');
    const endpoint = await hosts[1].attach('small', 'shop', '10.30.0.9');
    await expect.poll(async () => (await weft('endpoint ls --network small')).stdout).toMatch(/ready\n$/);
    const shown: unknown = JSON.parse((await weft('network inspect small')).stdout);
    expect(shown).toMatchObject({
      ...{ name: 'small', mtu: 0, mtuFrom: expect.stringContaining('underlay') as unknown },
      createTime: expect.stringMatching(/^\d{4}-/) as unknown,
      usage: { total: '13', used: '1', resting: '0', free: '12' },
      subnets: [
        { usage: { total: '13', used: '1', resting: '0', free: '12' } },
        { usage: { total: '>9.2e18', used: '1', free: '>9.2e18' } },
      ],
      endpoints: [{ sandbox: 'shop', host: 'h2', state: 'ready', mac: endpoint.mac }],
    });
    // For programs: the message and nothing else.
    const message = await json<Readonly<Record<string, unknown>>>('network inspect small');
    expect(message['usage']).toEqual({ total: '13', used: '1', free: '12' });
    expect(message['subnets']).toMatchObject([{}, { usage: { total: '9223372036854775807' } }]);
    expect(Object.keys(message)).not.toContain('endpoints');
    await hosts[1].detach(endpoint);
    await expect.poll(async () => (await weft('network rm small')).exitCode).toBe(0);
  });

  it('of a predefined network says that it is one', async () => {
    const { exitCode, stdout, stderr } = await weft('network inspect Bridge');
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: 'weft: bridge is predefined: every host has it, and no store\n',
    });
    expect(JSON.parse(stdout)).toEqual({ name: 'bridge', driver: 'bridge' });
    expect(await json('network inspect none')).toEqual({ name: 'none', driver: 'null' });
    expect(await weft('network rm host')).toMatchObject({
      ...{
        exitCode: 2,
        stderr: 'weft: NETWORK: host is predefined on every host, and can be neither changed nor removed\n',
      },
    });
  });
});

describe('weft network ls --filter and prune', () => {
  beforeAll(async () => {
    await weft('network create --label tier=front alpha');
    await weft('network create --label tier=back beta');
    await weft('network create gamma');
  });

  it.each([
    ['--filter label=tier', ['alpha', 'beta']],
    ['--filter label=tier=back', ['beta']],
    ['-f label=tier -f label=nothing', []],
    ['--filter type=custom', ['alpha', 'beta', 'gamma']],
    ['--filter type=custom --filter label!=tier', ['gamma']],
    ['--filter type=builtin', ['bridge', 'host', 'none']],
    ['--filter name=a --filter driver=overlay', ['alpha', 'beta', 'gamma']],
    ['--filter name=alpha --filter name=none', ['alpha', 'none']],
    ['--filter dangling=true', ['alpha', 'beta', 'gamma']],
    ['--filter dangling=false', ['bridge', 'host', 'none']],
    ['--filter until=24h', []],
  ])('%s', async (flags, names) => {
    expect(await listed(flags)).toEqual(names);
  });

  it('a filter that nobody knows is refused with those there are', async () => {
    for (const noun of ['network', 'endpoint']) {
      const { exitCode, stdout, stderr } = await weft(`${noun} ls --filter colour=red`);
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
      expect(stderr).toMatch(/^weft: --filter: [^\n]*label[^\n]*\n$/);
    }
  });

  it('prune removes what was asked about, and nothing that somebody uses', async () => {
    const endpoint = await hosts[0].attach('gamma', 'shop');
    const declined = await weft('network prune', typing('n'));
    expect(declined).toMatchObject({ exitCode: 1, stdout: '' });
    expect(declined.stderr).toBe(
      'This removes 2 networks that have no endpoints: alpha, beta. Go on? [y/N] weft: nothing was removed\n',
    );
    expect(await weft('network prune --filter label=tier=front', typing('y'))).toMatchObject({
      ...{ exitCode: 0, stdout: 'alpha\n' },
    });
    expect(await weft('network prune --filter until=24h', typing())).toMatchObject({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    expect(await json('network prune -f')).toEqual({
      removed: [{ name: 'beta', revision: expect.stringMatching(/^\d+$/) as unknown }],
    });
    expect(await listed('--filter type=custom')).toEqual(['gamma']);
    await hosts[0].detach(endpoint);
    await expect.poll(async () => (await weft('network prune -f')).stdout).toBe('gamma\n');
  });

  it('prune leaves what came into use while the person was thinking', async () => {
    await weft('network create busy');
    await weft('network create idle');
    let attaching: ReturnType<TestHost['attach']> | undefined;
    const readLine = async (): Promise<string> => {
      attaching = hosts[0].attach('busy', 'shop');
      await attaching;
      return 'yes';
    };
    const { exitCode, stdout, stderr } = await weft('network prune', { stdin: { isTty: true, readLine } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 'idle\n' });
    expect(stderr).toContain('weft: network busy was left: somebody removed it, or is using it now\n');
    if (attaching !== undefined) await hosts[0].detach(await attaching);
    await expect.poll(async () => (await weft('network rm busy')).exitCode).toBe(0);
  });
});

describe('weft endpoint ls', () => {
  it('knows who held an address and when, the newest first', async () => {
    await weft('network create --subnet 10.40.0.0/24 past');
    const first = await hosts[0].attach('past', 'one', '10.40.0.9');
    await hosts[0].detach(first);
    await expect.poll(async () => (await weft('endpoint ls --network past')).stdout.split('\n')).toHaveLength(2);
    const second = await hosts[1].attach('past', 'two', '10.40.0.9');
    const { exitCode, stdout } = await weft('endpoint ls --address 10.40.0.9 --history');
    expect(exitCode).toBe(0);
    const moment = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \(\d+\)`;
    expect(stdout).toMatch(
      new RegExp(
        String.raw`^ADDRESS +NETWORK +SANDBOX +HOST +FROM \(REVISION\) +UNTIL \(REVISION\)
10\.40\.0\.9 +past +two +h2 +${moment} +now
10\.40\.0\.9 +past +one +h1 +${moment} +${moment}
$`,
      ),
    );
    expect(await json('endpoint ls --address 10.40.0.9 --history --network past')).toMatchObject({
      holdings: [{ sandbox: 'two' }, { sandbox: 'one', untilRevision: expect.stringMatching(/^\d+$/) as unknown }],
    });
    expect(await weft('endpoint ls --address 10.40.0.10 --history')).toMatchObject({
      ...{ exitCode: 0, stdout: 'ADDRESS   NETWORK   SANDBOX   HOST   FROM (REVISION)   UNTIL (REVISION)\n' },
    });
    expect(
      await json<{ endpoints: readonly unknown[] }>('endpoint ls --filter sandbox=tw --filter state=removing'),
    ).toEqual({
      endpoints: [],
    });
    expect((await weft('endpoint ls --filter sandbox=tw --host h2')).stdout).toMatch(/two/);
    await hosts[1].detach(second);
    await expect.poll(async () => (await weft('network rm past')).exitCode).toBe(0);
  });
});

describe('weft endpoint inspect', () => {
  it('takes the id, as the table shows it too, or the sandbox where it has but one endpoint', async () => {
    await weft('network create --subnet 10.45.0.0/24 first');
    await weft('network create --subnet 10.46.0.0/24 second');
    const one = await hosts[0].attach('first', 'till');
    await expect.poll(async () => (await weft('endpoint ls --network first')).stdout).toMatch(/ready\n$/);
    for (const typed of [one.id, one.id.replaceAll('-', '').slice(0, 12), 'till', 'TILL']) {
      expect(await json(`endpoint inspect ${typed}`)).toMatchObject({ id: one.id, state: 'ENDPOINT_STATE_READY' });
    }
    // For people, states are what tables have.
    expect(JSON.parse((await weft('endpoint inspect till')).stdout)).toMatchObject({ id: one.id, state: 'ready' });
    const two = await hosts[1].attach('second', 'till');
    const several = await weft('endpoint inspect till');
    expect(several).toMatchObject({ exitCode: 2, stdout: '' });
    expect(several.stderr).toMatch(/^weft: sandbox till has 2 endpoints; name one by its id: [^\n]+\n$/);
    for (const which of [`${one.id} (network first, host h1)`, `${two.id} (network second, host h2)`]) {
      expect(several.stderr).toContain(which);
    }
    expect((await weft('endpoint ls -q --network first')).stdout).toBe(`${one.id}\n`);
    expect(await weft('endpoint inspect til')).toMatchObject({ exitCode: 3, stdout: '' });
    await hosts[0].detach(one);
    await hosts[1].detach(two);
    await expect.poll(async () => (await weft('network rm first second')).exitCode).toBe(0);
  });
});

describe('weft host', () => {
  it('lists hosts by name, or their ids alone, and says their state in a word', async () => {
    const { hosts: found } = await json<{ hosts: readonly { id: string; name: string }[] }>('host ls');
    expect(found.map(({ name }) => name)).toEqual(['h1', 'h2']);
    expect((await weft('host ls -q')).stdout).toBe(found.map(({ id }) => `${id}\n`).join(''));
    expect((await weft('host ls')).stdout).toMatch(/\n[0-9a-f]{12} +h1 +192\.0\.2\.1 +ready +active +\d+ +\S+ +-\n/);
    expect(JSON.parse((await weft('host inspect h1')).stdout)).toMatchObject({ name: 'h1', state: 'ready' });
    expect(await json('host inspect h1')).toMatchObject({ state: 'HOST_STATE_READY' });
  });
});

describe('a network that is full', () => {
  it('ends a wish for one more with the figures, and is a warning in status', async () => {
    await weft('network create --subnet 10.50.0.0/29 full');
    const endpoints = [];
    for (const n of [1, 2, 3, 4, 5]) endpoints.push(await hosts[0].attach('full', `box${String(n)}`));
    await expect(hosts[0].attach('full', 'box6')).rejects.toMatchObject({
      status: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('make room with: weft network update --grow CIDR full') as unknown,
    });
    expect((await weft('status')).stdout).toMatch(/\nwarnings\n {2}network full: [^\n]*\(ADDRESSES_SCARCE\)\n/);
    expect(await json('network inspect full')).toMatchObject({ usage: { total: '5', used: '5' } });
    for (const endpoint of endpoints) await hosts[0].detach(endpoint);
    await expect.poll(async () => (await weft('network rm full')).exitCode).toBe(0);
  });
});

describe('weft backup and restore', () => {
  it('bring back what was removed, under a new epoch, and keep what came since', async () => {
    const file = path.join(directory, 'weft.backup');
    await weft('network create --subnet 10.60.0.0/24 kept');
    const kept = await hosts[0].attach('kept', 'before');
    const taken = await weft(`backup ${file}`);
    expect(taken).toMatchObject({ exitCode: 0, stdout: `${file}\n` });
    expect(taken.stderr).toMatch(/^weft: revision \d+ of \d{4}-[^\n]*Z, \S+ KiB\n$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const before = await json<{ epoch: string; clusterId: string }>('status');

    const piped = await weft('backup -');
    expect(piped).toMatchObject({ exitCode: 0, stdout: '' });
    expect(Buffer.concat(piped.bytes).length).toBeGreaterThan(500);
    const again = await json<Readonly<Record<string, unknown>>>(`backup ${path.join(directory, 'json')}`);
    expect(again).toMatchObject({ format: 1, revision: expect.stringMatching(/^\d+$/) as unknown });

    await weft('network create --subnet 10.61.0.0/24 gone');
    await hosts[1].attach('kept', 'since', '10.60.0.77');
    await expect.poll(async () => (await weft('endpoint ls --network kept')).stdout).toMatch(/ready\n.*ready\n$/);

    const declined = await weft(`restore ${file}`, typing('no'));
    expect(declined).toMatchObject({ exitCode: 1, stdout: '' });
    expect(declined.stderr).toMatch(
      /replaced by its own state of \d{4}-.*\nWhat runs goes on running.*nothing was changed\n$/s,
    );
    expect(await json('status')).toMatchObject({ epoch: before.epoch });

    const restored = await weft(`restore --wait ${file}`, typing('y'));
    expect(restored.stderr).toMatch(/weft: restored 1 network, 1 endpoint, 2 hosts; a new epoch begins\n$/);
    expect(restored).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[0-9a-f-]{36}\n$/) as unknown });
    const after = await json<{ epoch: string; clusterId: string }>('status');
    expect(after).toMatchObject({ epoch: restored.stdout.trim(), clusterId: before.clusterId });
    expect(after.epoch).not.toBe(before.epoch);
    expect(await listed('--filter type=custom')).toEqual(['kept']);
    const { endpoints } = await json<{ endpoints: readonly { id: string; sandbox: string }[] }>('endpoint ls');
    expect(endpoints.map(({ sandbox }) => sandbox).sort()).toEqual(['before', 'since']);
    expect(endpoints.map(({ id }) => id)).toContain(kept.id);
    await weft('network create new');
  }, 60_000);

  it('refuses a file that is not whole, and has changed nothing', async () => {
    const file = path.join(directory, 'damaged');
    await weft(`backup ${file}`);
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, whole.length - 10));
    const { epoch } = await json<{ epoch: string }>('status');
    const refused = await weft(`restore -f ${file}`);
    expect(refused).toMatchObject({ exitCode: 2, stdout: '' });
    expect(refused.stderr).toMatch(/^weft: the file cannot be restored: [^\n]+\n$/);
    expect(await json('status')).toMatchObject({ epoch });
  });

  it('says which hosts have still to say what they run, and nothing is allocated before', async () => {
    const file = path.join(directory, 'silent');
    await weft(`backup ${file}`);
    await hosts[1][Symbol.asyncDispose]();
    const restored = await weft(`restore -f ${file}`);
    expect(restored).toMatchObject({ exitCode: 0 });
    expect(restored.stderr).toMatch(/nothing is allocated before it is heard what runs on (?:h1, )?h2: weft status\n$/);
    const waited = await weft(`--timeout 3 restore -f --wait ${file}`);
    expect(waited).toMatchObject({ exitCode: 5, stdout: expect.stringMatching(/^[0-9a-f-]{36}\n$/) as unknown });
    // No terminal, but who reads the log later sees what it waited for.
    expect(waited.stderr).toMatch(/\nweft: waiting for h2 to say what runs there \(\d s\)\n/);
    expect(waited.stderr).toMatch(
      /\nweft: it is restored, but nothing was heard of what runs on h2; start weft-agent there: nothing is allocated [^;]*\n$/,
    );
    const refused = await weft('network create early');
    expect(refused).toMatchObject({ exitCode: 5, stdout: '' });
    expect(refused.stderr).toMatch(/^weft: [^\n]*h2[^\n]*; weft status has them\n$/);
    expect((await weft('status')).stdout).toMatch(/\n {2}host h2: [^\n]* \(HOSTS_UNDECLARED\)\n/);
  }, 60_000);

  it('writes no backup on a terminal', async () => {
    const terminal = { write: () => undefined, isTty: true };
    expect(await weft('backup -', { stdout: terminal })).toMatchObject({
      ...{ exitCode: 2, stderr: 'weft: a backup is no text for a terminal: name a file, or pipe it on\n', bytes: [] },
    });
  });
});
