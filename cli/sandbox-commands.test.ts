import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { runCommand } from './run-command.js';
import { Interruption, type Surroundings } from './surroundings.js';
import { startTestAgent, type TestAgent } from './agent.testing.js';
import { testSurroundings } from './surroundings.testing.js';

let agent: TestAgent;

beforeEach(async () => {
  agent = await startTestAgent();
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
});

/** Types a line, its words separated by one space. */
async function weft(line: string, overrides: Partial<Surroundings> = {}) {
  const { surroundings, written, ran } = testSurroundings({ env: { WEFT_AGENT: agent.socket }, ...overrides });
  const exitCode = await runCommand(line.split(' '), surroundings);
  return { exitCode, ...written, ran };
}

describe('weft sandbox', () => {
  it('is made, listed, shown and removed', async () => {
    expect(await weft('sandbox create --network web --alias api --wait shop')).toMatchObject({
      exitCode: 0,
      stdout: 'shop\n',
      stderr: '',
    });
    expect(agent.calls[0]?.request).toMatchObject({
      name: 'shop',
      wait: true,
      attachments: [{ network: 'web', aliases: ['api'] }],
    });
    expect((await weft('sandbox ls')).stdout).toBe(
      [
        'NAME   STATE   NETWORKS   ADDRESSES   NETNS',
        'shop   ready   web        10.1.0.2    /run/netns/weft-s-shop',
        '',
      ].join('\n'),
    );
    const shown = JSON.parse((await weft('sandbox inspect shop')).stdout) as unknown;
    expect(shown).toMatchObject({ name: 'shop', state: 'ready', endpoints: [{ revision: '7', state: 'ready' }] });
    expect((await weft('sandbox list')).stdout).toBe((await weft('sandbox ls')).stdout);
    expect(await weft('sandbox remove shop')).toMatchObject({ exitCode: 0, stdout: 'shop\n' });
    expect(agent.sandboxes.size).toBe(0);
  });

  it('speaks JSON, one document a command', async () => {
    const json = async (line: string): Promise<unknown> => JSON.parse((await weft(`${line} --json`)).stdout);
    expect(await json('sandbox ls')).toEqual({ sandboxes: [] });
    expect(await json('sandbox create --network none shop')).toMatchObject({ name: 'shop' });
    expect(await json('sandbox ls')).toMatchObject({ sandboxes: [{ name: 'shop' }] });
    expect(await json('network connect web shop')).toMatchObject({ networkId: 'web', revision: '7' });
    expect(await json('network disconnect web shop')).toEqual({ revision: '10' });
    await weft('sandbox create --network none till');
    expect(await json('sandbox inspect shop till')).toMatchObject({ sandboxes: [{ name: 'shop' }, { name: 'till' }] });
    expect(await json('sandbox rm shop till')).toEqual({
      removed: [
        { name: 'shop', revision: '9' },
        { name: 'till', revision: '9' },
      ],
    });
  });

  it('of several names tries all, prints every error, and ends with the worst status', async () => {
    await weft('sandbox create --network none shop');
    expect(await weft('sandbox rm a shop b')).toMatchObject({
      exitCode: 3,
      stdout: 'shop\n',
      stderr: ['a', 'b']
        .map((name) => `weft: there is no sandbox ${name} on this host; weft sandbox ls has those there are\n`)
        .join(''),
    });
    expect(await weft('sandbox rm -f a')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    expect((await weft('sandbox inspect a')).exitCode).toBe(3);
  });

  it('is refused where there is one already', async () => {
    await weft('sandbox create --network none shop');
    expect(await weft('sandbox create --network none shop')).toMatchObject({
      exitCode: 4,
      stderr: 'weft: there is a sandbox shop already\n',
    });
  });
});

describe('weft network connect and disconnect', () => {
  it('print the endpoint, and the sandbox', async () => {
    await weft('sandbox create --network none shop');
    expect((await weft('network connect --ip 10.1.0.9 web shop')).stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(agent.calls.at(-1)?.request).toMatchObject({ attachment: { network: 'web', addresses: ['10.1.0.9'] } });
    expect((await weft('network disconnect web shop')).stdout).toBe('shop\n');
    expect(await weft('network disconnect web shop')).toMatchObject({
      ...{ exitCode: 3, stdout: '' },
      stderr: 'weft: sandbox shop is not connected to web; weft sandbox ls has what each is on\n',
    });
    expect(await weft('network disconnect -f web shop')).toMatchObject({ exitCode: 0, stdout: '' });
  });
});

describe('the request id', () => {
  it('goes with every call, and is said with --verbose', async () => {
    const { stderr } = await weft('sandbox ls --verbose');
    expect(stderr).toBe(`weft: request ${agent.calls[0]?.requestId ?? ''}\n`);
    expect(agent.calls[0]?.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('the time limit', () => {
  it('ends a command that gets no answer', async () => {
    agent.silent.add('list');
    expect(await weft('--timeout 0.2 sandbox ls')).toMatchObject({
      exitCode: 5,
      stderr: `weft: the agent at ${agent.socket} did not answer in time; allow more with --timeout SECONDS\n`,
    });
  });
});

describe('an interruption', () => {
  it('ends a command that waits, silently, with 128 and the number of the signal', async () => {
    agent.silent.add('list');
    const interrupt = new AbortController();
    const running = weft('sandbox ls', { signal: interrupt.signal });
    await expect.poll(() => agent.calls.length).toBe(1);
    interrupt.abort(new Interruption('SIGINT', 130));
    expect(await running).toMatchObject({ exitCode: 130, stdout: '', stderr: '' });
  });
});

describe('weft exec', () => {
  it('becomes the program in the sandbox, with its own resolv.conf and hosts', async () => {
    await weft('sandbox create --network none shop');
    const { exitCode, ran } = await weft('exec shop -- ls -la --json -- x');
    expect(exitCode).toBe(0);
    expect(ran).toEqual([
      [
        expect.stringMatching(/\/bin\/weft-agent$/),
        ...['enter', '--netns', '/run/netns/weft-s-shop'],
        ...['--bind', '/run/weft/sandboxes/shop/resolv.conf:/etc/resolv.conf'],
        ...['--bind', '/run/weft/sandboxes/shop/hosts:/etc/hosts'],
        ...['--', 'ls', '-la', '--json', '--', 'x'],
      ],
    ]);
  });

  it('ends with its status', async () => {
    await weft('sandbox create --network none shop');
    expect(await weft('exec shop -- false', { runProgram: () => Promise.resolve(42) })).toMatchObject({ exitCode: 42 });
  });
});

describe('weft run', () => {
  it('makes a sandbox for as long as the program runs', async () => {
    const during: string[] = [];
    const result = await weft('run --network web -- sleep 1', {
      runProgram: () => {
        during.push(...agent.sandboxes.keys());
        return Promise.resolve(3);
      },
    });
    expect(result).toMatchObject({ exitCode: 3, stdout: '', stderr: '' });
    expect(during).toEqual([expect.stringMatching(/^[a-z]+-[a-z]+-[0-9a-f]{4}$/)]);
    expect(agent.sandboxes.size).toBe(0);
  });

  it('keeps the sandbox with --keep, and says its name', async () => {
    const { stderr } = await weft('run --keep --name box --network none -- true');
    expect(stderr).toBe('weft: the sandbox is kept: box\n');
    expect([...agent.sandboxes.keys()]).toEqual(['box']);
  });

  it('removes the sandbox also when it is interrupted', async () => {
    const interrupt = new AbortController();
    const result = await weft('run --network none -- sleep 100', {
      signal: interrupt.signal,
      runProgram: () => {
        interrupt.abort(new Interruption('SIGTERM', 143));
        return Promise.resolve(143);
      },
    });
    expect(result).toMatchObject({ exitCode: 143, stderr: '' });
    expect(agent.sandboxes.size).toBe(0);
  });

  it('interrupted while the sandbox is being made, removes it and runs nothing', async () => {
    const interrupt = new AbortController();
    interrupt.abort(new Interruption('SIGINT', 130));
    const result = await weft('run --network none -- true', { signal: interrupt.signal });
    expect(result).toMatchObject({ exitCode: 130, ran: [] });
    expect(agent.calls.map(({ method }) => method)).toEqual(['create', 'delete']);
    expect(agent.sandboxes.size).toBe(0);
  });

  it('removes the sandbox also when the program cannot be started', async () => {
    const result = await weft('run --network none -- true', { runProgram: () => Promise.reject(new Error('ENOENT')) });
    expect(result.exitCode).toBe(1);
    expect(agent.sandboxes.size).toBe(0);
  });

  it("does not touch somebody else's sandbox of the same name", async () => {
    await weft('sandbox create --network none box');
    expect(await weft('run --name box --network none -- true')).toMatchObject({ exitCode: 4, ran: [] });
    expect([...agent.sandboxes.keys()]).toEqual(['box']);
  });

  it('tries to remove what may have been made when the answer does not come', async () => {
    agent.silent.add('create');
    expect((await weft('--timeout 1.5 run --network none -- true')).exitCode).toBe(5);
    expect(agent.calls.map(({ method }) => method)).toEqual(['create', 'delete']);
  });

  it('says so when a sandbox stays behind', async () => {
    agent.refusals.set('delete', new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: 'no controller answers' }));
    const result = await weft('run --name box --network none -- true');
    expect(result.exitCode).toBe(5);
    expect(result.stderr).toMatch(/left behind: no controller answers; remove it with weft sandbox rm box/);
  });
});
