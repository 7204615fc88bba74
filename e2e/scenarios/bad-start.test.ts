import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../lab/lab.js';
import { program } from '../lab/lab-host.js';
import type { Outcome, RunOptions } from '../lab/process.js';

/** A start that is refused is refused soon; the agent's first contact alone has half a minute. */
const SOON_MS = 15_000;
const FIRST_CONTACT_MS = 45_000;

let dir: string;
let lab: Lab;
/** A silent address: begun first, since an agent waits long for its first contact. */
let waiting: Promise<Outcome>;
let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), 'weft-scenario-'));
  lab = await Lab.up({ name: 'bad-start', hosts: 2, dir });
  await lab.c1.issueHost('h9', path.join(dir, 'h9'));
  before = await everything();
  waiting = agent({ '--controller': '192.0.2.99:7070' }, { timeoutMs: FIRST_CONTACT_MS });
  waiting.catch(() => undefined);
});
afterAll(async () => {
  await Lab.down('bad-start', { dir });
  rmSync(dir, { recursive: true });
});

/** What runs and what the kernels and the store hold, but for the agent that waits. */
async function everything() {
  const { hosts } = (await lab.weft('c1', ['host', 'ls'])) as { hosts: readonly object[] };
  const machines = [...lab.hosts, lab.c1].map((machine) => ({
    programs: machine.programs().map(({ argv }) => argv.join(' ')),
    namespaces: machine.namespaces(),
  }));
  return { hosts, machines, keys: await lab.c1.etcdKeys() };
}

let serial = 0;
const fresh = (what: string): string => path.join(dir, `${what}-${String((serial += 1))}`);

type Flags = Readonly<Record<string, string>>;

const toArgv = (flags: Flags): string[] => Object.entries(flags).flat();

/** Runs a controller on c1 beside the one that is there, with everything of its own but `flags`. */
const controller = (flags: Flags, under: readonly string[] = []): Promise<Outcome> => {
  const own = { '--data-dir': fresh('data'), '--listen': '127.0.0.1:7171', '--metrics': 'off' };
  const argv = [...under, process.execPath, program('weft-controller'), 'run', ...toArgv({ ...own, ...flags })];
  return lab.c1.exec(argv, { timeoutMs: SOON_MS });
};

/** Runs an agent on h2 beside the one that is there, with everything of its own but `flags`. */
const agent = (flags: Flags, options: RunOptions & { under?: readonly string[] } = {}): Promise<Outcome> => {
  const { under = [], ...run } = options;
  const own = {
    '--controller': '192.0.2.201:7070',
    '--tls-dir': path.join(dir, 'h9'),
    '--state-dir': fresh('state'),
    '--run-dir': fresh('run'),
    '--metrics': 'off',
  };
  const argv = [...under, process.execPath, program('weft-agent'), 'run', ...toArgv({ ...own, ...flags })];
  return lab.host('h2').exec(argv, { timeoutMs: SOON_MS, ...run });
};

/** The one sentence at the end of what a daemon said: its log's last line, or what stands before there is a log. */
function sentenceOf({ code, stderr }: Outcome): { readonly code: number; readonly says: string } {
  const line = stderr.trimEnd().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) return { code, says: line.replace(/^(weft-agent|weft-controller|error): /, '') };
  const { level, msg, err } = JSON.parse(line) as { level: string; msg: string; err?: unknown };
  // What is expected to happen to people has no stack behind it.
  return { code, says: level === 'fatal' && err === undefined ? msg : line };
}

async function expectRefused(started: Promise<Outcome>, code: number, says: RegExp): Promise<void> {
  expect(sentenceOf(await started)).toEqual({ code, says: expect.stringMatching(says) as string });
}

describe('a controller that cannot start says why', () => {
  it('without an etcd to start', async () => {
    await expectRefused(controller({}, ['env', 'PATH=/nonexistent']), 1, /^etcd is not installed: apt-get install/);
    await expectRefused(controller({ '--etcd-binary': '/nonexistent' }), 1, /\/nonexistent/);
    // A program that is no etcd ends at once.
    await expectRefused(controller({ '--etcd-binary': '/bin/false' }), 1, /etcd ended with status 1/);
  });

  it('where another one listens, and leaves no etcd behind', async () => {
    const taken = '192.0.2.201:7070';
    await expectRefused(
      controller({ '--listen': taken }),
      1,
      /^cannot listen on 192\.0\.2\.201 port 7070: .*EADDRINUSE/,
    );
    await expectRefused(controller({ '--listen': '198.51.100.1:7070' }), 1, /^cannot listen on 198\.51\.100\.1/);
    await expectRefused(controller({ '--metrics': '127.0.0.1:9470' }), 1, /^cannot listen on 127\.0\.0\.1 port 9470/);
    expect(lab.c1.programs().filter(({ command }) => command === 'etcd')).toHaveLength(1);
  });

  it('on a directory that another one uses', async () => {
    await expectRefused(controller({ '--data-dir': lab.c1.subdirectory('data') }), 1, /in use: process \d+ runs etcd/);
  });

  it('on a directory that cannot be one', async () => {
    const file = fresh('file');
    writeFileSync(file, '');
    await expectRefused(controller({ '--data-dir': file }), 1, /cannot be used: ENOTDIR/);
    await expectRefused(
      controller({ '--data-dir': '/proc/nonexistent' }),
      1,
      /^\/proc\/nonexistent\/ca cannot be used: ENOENT/,
    );
  });

  it('with a damaged CA, which it does not replace', async () => {
    const data = fresh('data');
    mkdirSync(path.join(data, 'ca'), { recursive: true });
    writeFileSync(path.join(data, 'ca', 'ca.pem'), 'x');
    await expectRefused(controller({ '--data-dir': data }), 1, /ca\.pem holds no key with its certificate/);
  });

  it('with credentials for etcd that cannot be read', async () => {
    const files = { '--etcd-ca': '/nonexistent', '--etcd-cert': '/nonexistent', '--etcd-key': '/nonexistent' };
    const external = controller({ '--etcd-endpoints': 'https://127.0.0.1:1', ...files });
    await expectRefused(external, 1, /^\/nonexistent cannot be read/);
  });

  it.each([
    [{ '--listen': 'nonsense' }, /'nonsense' is invalid: expected HOST:PORT/],
    [{ '--pool': '10.0.0.0/8' }, /expected CIDR\/SIZE/],
    [{ '--etcd-endpoints': 'http://127.0.0.1:1' }, /over TLS only/],
    [{ '--etcd-endpoints': 'https://127.0.0.1:1' }, /needs --etcd-ca, --etcd-cert and --etcd-key/],
    [{ '--frob': 'x' }, /unknown option '--frob'/],
    [{ '--name': 'a b' }, /a name has 1 to 63/],
  ])('when its command line is wrong: %j', async (flags, says) => {
    const { code, stderr } = await controller(flags);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(says) as string });
  });

  it('when credentials are to be issued and there is no CA', async () => {
    const argv = ['issue', '--role', 'host', '--name', 'x', '--out', fresh('out'), '--data-dir', fresh('data')];
    await expectRefused(lab.c1.exec([program('weft-controller'), ...argv]), 1, /cannot be used: ENOENT/);
  });
});

describe('an agent that cannot start says why', () => {
  it('when it is not root', async () => {
    const says = /^this process lacks CAP_NET_ADMIN and CAP_SYS_ADMIN: run it as root$/;
    await expectRefused(agent({}, { under: ['setpriv', '--bounding-set=-net_admin,-sys_admin'] }), 1, says);
  });

  it('when its kernel makes no network namespaces', async () => {
    // In a user namespace of its own, whose limits are its own too.
    const limited = `
      require('node:fs').writeFileSync('/proc/sys/user/max_net_namespaces', '0');
      const [program, ...args] = process.argv.slice(1);
      process.exitCode = require('node:child_process').spawnSync(program, args, { stdio: 'inherit' }).status;
    `;
    const under = ['unshare', '--user', '--map-root-user', '--net', process.execPath, '-e', limited];
    const says = /^this kernel makes no network namespace: raise user\.max_net_namespaces \(.*ENOSPC\)\)$/;
    await expectRefused(agent({}, { under }), 1, says);
  });

  it('when libnftables cannot be loaded', async () => {
    const libraries = fresh('lib');
    mkdirSync(libraries);
    writeFileSync(path.join(libraries, 'libnftables.so.1'), '');
    await expectRefused(agent({}, { env: { LD_LIBRARY_PATH: libraries } }), 1, /apt-get install libnftables1/);
  });

  it('without credentials, and with those of another', async () => {
    await expectRefused(
      agent({ '--tls-dir': '/nonexistent' }),
      1,
      /^no credentials: \/nonexistent\/ca\.crt .*--tls-dir/,
    );
    await expectRefused(agent({ '--tls-dir': lab.credentials }), 1, /admin/);
    await expectRefused(agent({ '--tls-dir': lab.host('h1').subdirectory('tls') }), 1, /h1/);
    // A controller that finds no etcd has made its CA and its operator's credentials before.
    const foreign = fresh('data');
    await controller({ '--data-dir': foreign, '--etcd-binary': '/nonexistent' });
    await expectRefused(agent({ '--tls-dir': path.join(foreign, 'admin') }), 1, /not of one cluster/);
  });

  it('with a tunnel address that is another host’s, or none of its own', async () => {
    await expectRefused(agent({}), 1, /192\.0\.2\.2/);
    await expectRefused(agent({ '--vtep': '192.0.2.77' }), 1, /^192\.0\.2\.77 is no address of this host/);
  });

  it('beside another one', async () => {
    await expectRefused(agent({ '--run-dir': '/run/weft' }), 1, /another agent answers at \/run\/weft\/agent\.sock/);
    await expectRefused(agent({ '--metrics': '127.0.0.1:9471' }), 1, /127\.0\.0\.1:9471|port 9471/);
  });

  it('on directories that cannot be some', async () => {
    for (const flag of ['--state-dir', '--run-dir']) {
      const file = fresh('file');
      writeFileSync(file, '');
      await expectRefused(agent({ [flag]: path.join(file, 'x') }), 1, /file-\d+.*(cannot be used|ENOTDIR)/);
      await expectRefused(agent({ [flag]: '/proc/nonexistent' }), 1, /^\/proc\/nonexistent cannot be used/);
    }
  });

  it.each([
    [{ '--vtep': 'x' }, /expected an IPv4 or IPv6 address/],
    [{ '--metrics': 'x' }, /expected HOST:PORT, or off/],
    [{ '--log-level': 'x' }, /Allowed choices are/],
    [{ '--frob': 'x' }, /unknown option '--frob'/],
  ])('when its command line is wrong: %j', async (flags, says) => {
    const { code, stderr } = await agent(flags);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(says) as string });
  });

  it('when no controller answers in time', async () => {
    await expectRefused(waiting, 1, /^the controller at 192\.0\.2\.99:7070 (does not answer|cannot be reached)/);
  });
});

describe('whoever could not start', () => {
  it('has left everything else as it was', async () => {
    expect(await everything()).toEqual(before);
    expect(existsSync('/proc/nonexistent')).toBe(false);
  });
});
