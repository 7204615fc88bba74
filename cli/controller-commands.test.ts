import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from './run-command.js';
import { startTestController, type TestController } from './controller.testing.js';
import { testSurroundings } from './surroundings.testing.js';

let controller: TestController;

beforeAll(async () => {
  controller = await startTestController();
});
afterAll(async () => {
  await controller[Symbol.asyncDispose]();
});

const PREDEFINED = [
  { name: 'bridge', driver: 'bridge' },
  { name: 'host', driver: 'host' },
  { name: 'none', driver: 'null' },
];

/** Types a line, its words separated by one space. */
async function weft(line: string, env: Readonly<Record<string, string>> = controller.env) {
  const { surroundings, written } = testSurroundings({ env });
  const exitCode = await runCommand(line.split(' '), surroundings);
  return { exitCode, ...written };
}

async function json(line: string): Promise<unknown> {
  return JSON.parse((await weft(`${line} --json`)).stdout);
}

describe('against a controller', () => {
  it('a network is made, listed, shown and removed', async () => {
    const create = 'network create --subnet 10.1.0.0/24 --subnet fd00:1::/64 --gateway 10.1.0.254';
    const options = '--aux-address printer=10.1.0.9 --label tier=front --internal -o mtu=1400 --wait web';
    expect(await weft(`${create} ${options}`)).toEqual({ exitCode: 0, stdout: 'web\n', stderr: '' });
    expect((await weft('network ls')).stdout).toMatch(
      /^NETWORK ID {5}NAME {5}DRIVER {4}VNI +SUBNETS\n- {14}bridge {3}bridge .*\n- .* host .*\n- .* none {5}null .*\n[0-9a-f]{12} {3}web {6}overlay {3}\d+ +10\.1\.0\.0\/24, fd00:1::\/64\n$/,
    );
    const shown = (await json('network inspect web')) as { id: string };
    expect(shown).toMatchObject({
      name: 'web',
      driver: 'overlay',
      subnets: [
        { cidr: '10.1.0.0/24', gateway: '10.1.0.254', auxAddresses: { printer: '10.1.0.9' } },
        { cidr: 'fd00:1::/64', gateway: 'fd00:1::1' },
      ],
      internal: true,
      mtu: 1400,
      labels: { tier: 'front' },
      options: { mtu: '1400' },
      revision: expect.stringMatching(/^\d+$/) as unknown,
    });
    expect(await json('network ls')).toEqual({ networks: [...PREDEFINED, shown] });
    expect((await weft('network ls -q')).stdout).toBe(`${shown.id}\n`);
    expect(await json(`network inspect ${shown.id}`)).toEqual(shown);
    expect(await json('network rm web')).toEqual({
      removed: [{ name: 'web', revision: expect.stringMatching(/^\d+$/) as unknown }],
    });
    expect(await json('network ls')).toEqual({ networks: PREDEFINED });
  });

  it('what belongs to subnets goes to the one that contains it, both families', async () => {
    const subnets = '--subnet 10.3.0.0/16 --subnet 10.4.0.0/24 --subnet fd00:3::/64';
    const parts = '--gateway fd00:3::fe --gateway 10.4.0.254 --ip-range 10.3.7.0/24 --aux-address nas=10.4.0.9';
    const options =
      '--ipv6 --internal -o dns-search=a.example,b.example -o dns-option=ndots:1 -o dns-ttl=5 -o mtu=1300';
    expect(await json(`network create ${subnets} ${parts} ${options} all`)).toMatchObject({
      subnets: [
        { cidr: '10.3.0.0/16', gateway: '10.3.0.1', ipRange: '10.3.7.0/24' },
        { cidr: '10.4.0.0/24', gateway: '10.4.0.254', auxAddresses: { nas: '10.4.0.9' } },
        { cidr: 'fd00:3::/64', gateway: 'fd00:3::fe' },
      ],
      options: { 'dns-search': 'a.example,b.example', 'dns-option': 'ndots:1', 'dns-ttl': '5', mtu: '1300' },
    });
    const six = (await json('network create --subnet fd00:5::/64 six')) as { subnets: unknown[] };
    expect(six.subnets).toHaveLength(1);
    const both = (await json('network create --subnet 10.5.0.0/24 --ipv6 both')) as { subnets: { cidr: string }[] };
    expect(both.subnets.map(({ cidr }) => cidr)).toEqual(['10.5.0.0/24', expect.stringMatching(/^fd.*\/64$/)]);
    await weft('network rm all six both');
  });

  it('network ls, host ls and endpoint ls show their heads over nothing', async () => {
    expect((await weft('host ls')).stdout).toBe(
      'HOST ID   NAME   VTEP   STATE   AVAILABILITY   ACKED   VERSION   PROBLEMS\n',
    );
    expect((await weft('endpoint ls')).stdout).toMatch(
      /^ENDPOINT ID +NETWORK +HOST +SANDBOX +ADDRESSES +MAC +STATE\n$/,
    );
    expect(await json('host ls')).toEqual({ hosts: [] });
    expect(await json('endpoint ls')).toEqual({ endpoints: [] });
  });

  it('status is one screen, or one document', async () => {
    const { exitCode, stdout } = await weft('status');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^cluster +[0-9a-f-]{36}\nepoch +[0-9a-f-]{36}\ncontrollers +c1 127\.0\.0\.1:\d+ ready, version \S+, 0 agents, leader/,
    );
    expect(stdout).toMatch(
      /\netcd +healthy, version 3\.\S+, the controller's own, in \S+\n +\S+ KiB on disk, .* in use, quota /,
    );
    expect(await json('status')).toMatchObject({ revision: expect.stringMatching(/^\d+$/) as unknown });
  });

  it('several are removed as far as can be, with the worst status', async () => {
    await weft('network create one');
    const result = await weft('network rm nothing one');
    expect(result).toMatchObject({ exitCode: 3, stdout: 'one\n' });
    expect(result.stderr).toMatch(/^weft: [^\n]*nothing[^\n]*\n$/);
    expect(await weft('network rm -f nothing')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  it.each([
    ['network inspect nothing', 3],
    ['host inspect nothing', 3],
    ['endpoint ls --network nothing', 3],
    ['endpoint ls --host nothing', 3],
    ['endpoint inspect 6d6f0c4e-0f0b-4a58-9d5c-0f6a1f1c2b3d', 3],
    ['endpoint inspect x', 3],
    ['endpoint inspect no/name', 3],
    ['network create --subnet 10.2.0.0/31 tiny', 2],
    ['network create --subnet 10.2.0.0/24 --subnet 10.2.0.0/25 web', 2],
    ['network create --subnet 10.2.0.0/24 --gateway 10.2.0.0 web', 2],
    ['network create -o mtu=12 web', 2],
  ])('weft %s ends with %d', async (line, status) => {
    const result = await weft(line);
    expect(result).toMatchObject({ exitCode: status, stdout: '' });
    expect(result.stderr).toMatch(/^weft: [^\n]+\n$/);
    expect(await json('network ls')).toEqual({ networks: PREDEFINED });
  });

  it('an id is taken as the table shows it', async () => {
    await weft('network create shown');
    const [, row = ''] = (await weft('network ls --filter type=custom')).stdout.split('\n');
    const [id = ''] = row.split(' ');
    expect(id).toMatch(/^[0-9a-f]{12}$/);
    expect(await json(`network inspect ${id}`)).toMatchObject({ name: 'shown' });
    expect(await json(`endpoint ls --network ${id}`)).toEqual({ endpoints: [] });
    expect((await weft(`network ls -q --filter id=${id}`)).stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    // Fewer digits could begin any id, and rm is not undone.
    expect(await weft(`network rm ${id.slice(0, 11)}`)).toMatchObject({ exitCode: 3, stdout: '' });
    expect(await weft('network inspect 000000000000')).toMatchObject({ exitCode: 3, stdout: '' });
    expect(await weft('endpoint inspect 000000000000')).toEqual({
      ...{ exitCode: 3, stdout: '' },
      stderr:
        'weft: there is no endpoint "000000000000", nor a sandbox of that name on a network; weft endpoint ls has those there are\n',
    });
    expect(await weft(`network rm ${id}`)).toEqual({ exitCode: 0, stdout: `${id}\n`, stderr: '' });
    expect(await json('network ls')).toEqual({ networks: PREDEFINED });
  });

  it('refusals name the option as it was typed, and not-founds the list', async () => {
    expect((await weft('network create -o mtu=12 web')).stderr).toMatch(/^weft: -o mtu: "12" is no MTU/);
    expect((await weft('network inspect nothing')).stderr).toBe(
      'weft: there is no network "nothing"; weft network ls has those there are\n',
    );
  });

  it('a name is taken once', async () => {
    await weft('network create twice');
    expect(await weft('network create twice')).toMatchObject({ exitCode: 4, stdout: '' });
    await weft('network rm twice');
  });

  it('is unavailable where nobody listens', async () => {
    const nobody = { ...controller.env, WEFT_CONTROLLER: '127.0.0.1:1' };
    const { exitCode, stderr } = await weft('network ls', nobody);
    expect(exitCode).toBe(5);
    expect(stderr).toBe(
      'weft: the controller at 127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1; start it, or name another with --controller or WEFT_CONTROLLER\n',
    );
  });
});
