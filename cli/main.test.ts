/** The compiled program as users start it: what only a real process can show. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Sandbox } from '../proto/gen/weft/v1/sandbox.js';
import { startTestAgent } from './agent.testing.js';
import { startTestController } from './controller.testing.js';

const WEFT = fileURLToPath(new URL('../bin/weft', import.meta.url));
const LIMIT_MS = 15_000;

function weft(argv: readonly string[]) {
  return spawnSync(WEFT, argv, { encoding: 'utf8', timeout: LIMIT_MS });
}

describe('bin/weft', () => {
  it('prints on stdout, complains on stderr, and exits with the status', () => {
    expect(weft(['--version'])).toMatchObject({ status: 0, stdout: '0.1.0\n', stderr: '' });
    const refused = weft(['network', 'create', '--subnet', '10.1.0.9/24', 'web']);
    expect(refused).toMatchObject({ status: 2, stdout: '' });
    expect(refused.stderr).toBe('weft: --subnet: "10.1.0.9/24" has bits of a host set; the subnet is 10.1.0.0/24\n');
  });

  it('asks a real server, and ends when it is done', async () => {
    await using agent = await startTestAgent();
    const child = spawn(WEFT, ['sandbox', 'create', '--network', 'none', 'shop'], {
      env: { ...process.env, WEFT_AGENT: agent.socket },
      stdio: 'ignore',
      timeout: LIMIT_MS,
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect([...agent.sandboxes.keys()]).toEqual(['shop']);
  });

  it('ends of a signal while it waits, with 128 and its number', async () => {
    await using agent = await startTestAgent();
    agent.silent.add('list');
    const child = spawn(WEFT, ['sandbox', 'ls'], {
      env: { ...process.env, WEFT_AGENT: agent.socket },
      stdio: 'ignore',
      timeout: LIMIT_MS,
    });
    await expect.poll(() => agent.calls.length, { timeout: 10_000 }).toBe(1);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });

  it('ends within --timeout also when the controller takes the connection and says nothing', async () => {
    await using controller = await startTestController();
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    try {
      const child = spawn(WEFT, ['--timeout', '1', 'network', 'ls'], {
        env: { ...process.env, ...controller.env, WEFT_CONTROLLER: `127.0.0.1:${String(port)}` },
        stdio: 'ignore',
        timeout: LIMIT_MS,
      });
      expect(await once(child, 'exit')).toEqual([5, null]);
    } finally {
      mute.close();
    }
  });

  it('does not mind when nobody reads on', () => {
    const line = `${JSON.stringify(WEFT)} --help | true; exit "\${PIPESTATUS[0]}"`;
    expect(spawnSync('bash', ['-c', line], { encoding: 'utf8', timeout: LIMIT_MS })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  it('prints scripts that each shell of the machine can read', () => {
    const script = weft(['completion', 'bash']);
    expect(script.status).toBe(0);
    expect(spawnSync('bash', ['-n'], { input: script.stdout, encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
    // Also where the package bash-completion is not there: what TAB does, said to a bash that reads nothing else.
    const tab = `${script.stdout}
      PATH=${path.dirname(WEFT)}:$PATH COMP_WORDS=(weft network cr) COMP_CWORD=2
      __weft_complete; echo "offered: \${COMPREPLY[*]}"`;
    const pressed = spawnSync('bash', ['--norc', '-c', tab], { encoding: 'utf8', timeout: LIMIT_MS });
    expect(pressed.stdout).toBe('offered: create\n');
    expect(pressed.stderr).not.toContain('_get_comp_words_by_ref');
    for (const shell of ['zsh', 'fish', 'powershell']) expect(weft(['completion', shell]).stdout).toContain('weft');
  });

  it('completes commands, options, and the names of sandboxes', async () => {
    await using agent = await startTestAgent();
    const env = { WEFT_AGENT: agent.socket };
    const answered = async (...words: readonly string[]): Promise<string> => {
      const child = spawn(WEFT, ['complete', '--', ...words], { env: { ...process.env, ...env }, timeout: LIMIT_MS });
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await once(child, 'close');
      return text;
    };
    const offered = async (...words: readonly string[]): Promise<string[]> =>
      (await answered(...words))
        .split('\n')
        .flatMap((line) => (line === '' || line.startsWith(':') ? [] : [line.split('\t')[0] ?? '']));
    expect(await offered('net')).toEqual(['network']);
    expect(await offered('network', '')).toEqual([
      'create',
      'ls',
      'inspect',
      'rm',
      'prune',
      'update',
      'connect',
      'disconnect',
    ]);
    expect(await offered('network', 'create', '--int')).toEqual(['--internal']);
    expect(await offered('network', 'create', '-d', '')).toEqual(['overlay']);
    // Also of networks that change, and the shell's own files.
    expect(await offered('network', 'update', '--grow')).toEqual(['--grow']);
    expect(await answered('backup', '')).toBe(':0\n');
    expect(await answered('restore', '/var/ba')).toBe(':0\n');
    expect(await offered('restore', '--f')).toEqual(['--force']);
    expect(await offered('comp')).toEqual(['completion']);
    // What options take: the keys, to go on from without a space.
    expect(await answered('network', 'create', '-o', 'dns-t')).toBe('dns-ttl=\t\n:6\n');
    expect(await offered('network', 'update', '--option-rm', 'm')).toEqual(['mtu']);
    expect(await offered('network', 'list', '--filter', '')).toEqual([
      ...['name=', 'id=', 'driver=', 'label=', 'label!=', 'dangling=', 'until=', 'type='],
    ]);
    expect(await offered('network', 'prune', '--filter', 'u')).toEqual(['until=']);
    expect(await offered('endpoint', 'ls', '-f', 's')).toEqual(['sandbox=', 'state=']);
    for (const name of ['shop', 'till']) agent.sandboxes.set(name, Sandbox.fromPartial({ name }));
    expect(await offered('exec', '')).toEqual(['shop', 'till']);
    expect(await offered('sandbox', 'rm', 't')).toEqual(['till']);
    expect(await offered('sandbox', 'remove', 't')).toEqual(['till']);
    // Nobody answers for networks here: nothing is offered, and nothing is said.
    expect(await offered('network', 'rm', '')).toEqual([]);
  });
});
