import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestController, type TestController } from './controller.testing.js';
import { joinHost, type TestHost } from './host.testing.js';
import { runCommand } from './run-command.js';
import { Interruption, type Surroundings } from './surroundings.js';
import { testSurroundings } from './surroundings.testing.js';

/** The launcher. */
const WEFT = fileURLToPath(new URL('../bin/weft', import.meta.url));

let controller: TestController;
let host: TestHost;

beforeAll(async () => {
  controller = await startTestController();
  host = await joinHost(controller, 'h1', '192.0.2.1');
}, 40_000);
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await controller[Symbol.asyncDispose]();
});

async function weft(line: string, overrides: Partial<Surroundings> = {}) {
  const { surroundings, written, bytes } = testSurroundings({ env: controller.env, ...overrides });
  const exitCode = await runCommand(line.split(' '), surroundings);
  return { exitCode, stderr: written.stderr, stdout: written.stdout + Buffer.concat(bytes).toString() };
}

/** The command under way, and what it has said so far. */
function following(line: string, env: Surroundings['env'] = controller.env) {
  const interrupt = new AbortController();
  const { surroundings, written, bytes } = testSurroundings({ env, signal: interrupt.signal });
  const ended = runCommand(line.split(' '), surroundings);
  return {
    ended,
    text: () => written.stdout + Buffer.concat(bytes).toString(),
    stderr: () => written.stderr,
    interrupt: () => {
      interrupt.abort(new Interruption('SIGINT', 130));
    },
  };
}

async function revisionNow(): Promise<bigint> {
  const { stdout } = await weft('status --json');
  return BigInt((JSON.parse(stdout) as { revision: string }).revision);
}

interface EventJson {
  readonly revision: string;
  readonly type: string;
  readonly network?: { readonly name: string };
  readonly endpoint?: { readonly sandbox: string; readonly state: string };
  readonly host?: { readonly name: string };
}

const about = ({ type, network, endpoint, host: machine }: EventJson): string =>
  `${type.replace('EVENT_TYPE_', '').toLowerCase()} ${network?.name ?? endpoint?.sandbox ?? machine?.name ?? ''}`;

/** A way to the controller that can be cut. */
async function openWay(): Promise<AsyncDisposable & { readonly place: string; cut(): void }> {
  const sockets = new Set<Socket>();
  const port = Number(controller.env.WEFT_CONTROLLER.split(':')[1]);
  const server = createServer((client) => {
    const onward = connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [client, onward],
      [onward, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    place: `127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    cut,
    [Symbol.asyncDispose]: async () => {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

describe('weft events', () => {
  it('says what to do where it is not said from where', async () => {
    expect(await weft('events')).toEqual({
      exitCode: 2,
      stdout: '',
      stderr:
        'weft: say from where: --since REVISION (weft status has the one of now), or --follow for what is to come\n',
    });
    expect(await weft('events --since yesterday')).toMatchObject({
      exitCode: 2,
      stderr: 'weft: --since: expected a revision, from 1 on, not "yesterday"\n',
    });
    expect(await weft('events --follow --kind pod')).toMatchObject({ exitCode: 2 });
    expect(await weft('events --follow --network none-such')).toMatchObject({ exitCode: 3 });
    const ahead = await weft('events --since 4711000');
    expect(ahead).toMatchObject({ exitCode: 5, stdout: '' });
    expect(ahead.stderr).toContain('revision 4710999 is not here yet');
  });

  it('prints what has happened since, in lines and as a document, and ends', async () => {
    const since = (await revisionNow()) + 1n;
    await weft('network create --subnet 10.70.0.0/24 seen');
    const endpoint = await host.attach('seen', 'shop', '10.70.0.5');
    await vi.waitFor(async () => {
      const { stdout } = await weft('endpoint ls --network seen');
      expect(stdout).toContain('ready');
    }, 5_000);
    await host.detach(endpoint);
    await vi.waitFor(async () => expect((await weft('network rm seen')).exitCode).toBe(0), 5_000);
    const { exitCode, stdout, stderr } = await weft(`events --since ${String(since)}`);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const [head, ...lines] = stdout.trimEnd().split('\n');
    expect(head).toBe('REVISION   EVENT     OBJECT                         NOW');
    expect(lines.map((line) => line.replace(/^\d+ +/, '').replaceAll(/ {2,}/g, ' | '))).toEqual([
      'created | network seen | overlay, 10.70.0.0/24',
      'created | endpoint shop on seen | pending on h1, 10.70.0.5',
      'updated | endpoint shop on seen | ready on h1, 10.70.0.5',
      'updated | endpoint shop on seen | removing on h1, 10.70.0.5',
      'deleted | endpoint shop on seen | removing on h1, 10.70.0.5',
      'deleted | network seen | overlay, 10.70.0.0/24',
    ]);
    const document = await weft(`events --since ${String(since)} --kind network --json`);
    const { events, revision } = JSON.parse(document.stdout) as { events: EventJson[]; revision: string };
    expect(events.map(about)).toEqual(['created seen', 'deleted seen']);
    expect(BigInt(revision)).toBe(await revisionNow());
    expect(await weft(`events --since ${String(BigInt(revision) + 1n)}`)).toEqual({
      ...{ exitCode: 0, stdout: '' },
      stderr: `weft: nothing from revision ${String(BigInt(revision) + 1n)} up to ${revision}\n`,
    });
    const id = endpoint.networkId;
    const ofGone = await weft(`events --since ${String(since)} --network ${id} --json`);
    expect((JSON.parse(ofGone.stdout) as { events: EventJson[] }).events).toHaveLength(6);
  }, 30_000);

  it('goes on with --follow until it is interrupted', async () => {
    const { ended, text, stderr, interrupt } = following('events --follow --json --kind network');
    await vi.waitFor(async () => {
      await weft('network create --subnet 10.71.0.0/24 followed');
      await weft('network rm followed');
      expect(text()).toContain('DELETED');
    }, 10_000);
    interrupt();
    expect(await ended).toBe(130);
    expect(stderr()).toBe('');
    const told = text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as EventJson);
    expect(new Set(told.map(about))).toEqual(new Set(['created followed', 'deleted followed']));
  }, 20_000);

  it('misses nothing and repeats nothing when controllers come and go', async () => {
    await using one = await openWay();
    await using other = await openWay();
    const since = (await revisionNow()) + 1n;
    const env = { ...controller.env, WEFT_CONTROLLER: `${one.place},${other.place}` };
    const { ended, text, stderr, interrupt } = following(`events --since ${String(since)} --follow --json`, env);
    const names = Array.from({ length: 40 }, (_, index) => `n${String(index)}`);
    for (const [index, name] of names.entries()) {
      expect((await weft(`network create --subnet 10.72.${String(index)}.0/24 ${name}`)).exitCode).toBe(0);
      if (index % 3 === 0) one.cut();
      if (index % 4 === 0) other.cut();
    }
    const told = () =>
      text()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as EventJson)
        .flatMap(({ network }) => network?.name ?? []);
    await vi.waitFor(() => expect(told()).toContain('n39'), 15_000);
    interrupt();
    expect(await ended).toBe(130);
    expect(stderr()).toBe('');
    expect(told()).toEqual(names);
  }, 60_000);

  it('ends when nobody reads what it writes any more', async () => {
    const argv = ['events', '--since', '2', '--follow', '--json'];
    const child = spawn(WEFT, argv, { env: { ...process.env, ...controller.env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const writing = setInterval(() => {
      weft('network create --subnet 10.73.0.0/24 piped')
        .then(() => weft('network rm piped'))
        .catch(() => undefined);
    }, 300);
    try {
      expect([await ended, stderr]).toEqual([[141, null], '']);
    } finally {
      clearInterval(writing);
    }
  }, 30_000);

  it('gives up when no controller is there any more', async () => {
    const way = await openWay();
    const env = { ...controller.env, WEFT_CONTROLLER: way.place };
    const { ended, stderr } = following('events --follow --timeout 2', env);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await way[Symbol.asyncDispose]();
    expect(await ended).toBe(5);
    expect(stderr()).toMatch(/^weft: the controller at .* cannot be reached/);
  }, 30_000);

  it('finds no controller at all', async () => {
    const { exitCode, stderr } = await weft('events --follow --controller 127.0.0.1:1,127.0.0.1:2');
    expect(exitCode).toBe(5);
    expect(stderr).toContain('cannot be reached');
  });
});
