import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseFlags } from './flags.js';

/** One line, read: what it means, and what it prints. */
function read(...argv: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const parsed = parseFlags(argv, {
    writeOut: (text) => (stdout += text),
    writeErr: (text) => (stderr += text),
  });
  return { parsed, stdout, stderr };
}

describe('the command line of weft-agent', () => {
  let controller: string | undefined;
  beforeEach(() => {
    controller = process.env['WEFT_CONTROLLER'];
    delete process.env['WEFT_CONTROLLER'];
  });
  afterEach(() => {
    if (controller !== undefined) process.env['WEFT_CONTROLLER'] = controller;
    else delete process.env['WEFT_CONTROLLER'];
  });

  it('has defaults for all but the controllers, which the environment may name', () => {
    const flags = {
      ...{ controller: '192.0.2.1:7070', tlsDir: '/etc/weft/tls', stateDir: '/var/lib/weft', runDir: '/run/weft' },
      ...{ vtep: undefined, metrics: { host: '127.0.0.1', port: 9471 }, logLevel: 'info' },
    };
    expect(read('--controller', '192.0.2.1:7070').parsed).toEqual({ command: 'run', flags });
    process.env['WEFT_CONTROLLER'] = '192.0.2.1:7070';
    expect(read('run').parsed).toEqual({ command: 'run', flags });
    expect(read('--metrics', 'off', '--vtep', '192.0.2.7').parsed).toMatchObject({
      flags: { metrics: undefined, vtep: '192.0.2.7' },
    });
  });

  it('enters a sandbox with whatever options the program has', () => {
    const binds = ['--bind', '/a:/etc/hosts', '--bind', '/b:/etc/resolv.conf'];
    expect(read('enter', '--netns', '/run/netns/x', ...binds, '--', 'ls', '--help').parsed).toEqual({
      command: 'enter',
      flags: {
        netns: '/run/netns/x',
        binds: [
          { source: '/a', target: '/etc/hosts' },
          { source: '/b', target: '/etc/resolv.conf' },
        ],
        argv: ['ls', '--help'],
      },
    });
  });

  it('lists the flags in its help, with defaults as one would type them', () => {
    const { parsed, stdout, stderr } = read('--help');
    expect({ parsed, stderr }).toEqual({ parsed: { command: 'exit', code: 0 }, stderr: '' });
    const text = stdout.replace(/\s+/g, ' ');
    for (const flag of ['controller', 'tls-dir', 'state-dir', 'run-dir', 'vtep', 'metrics', 'log-level']) {
      expect(text).toContain(` --${flag} <`);
    }
    expect(text).toContain('(default: 127.0.0.1:9471)');
    expect(text).toContain('(env: WEFT_CONTROLLER)');
    expect(stdout).toMatch(/\nExamples:\n {2}\$ weft-agent --controller /);
  });

  it.each([
    [[], /: name the controllers with --controller HOST:PORT[^;]*, or set WEFT_CONTROLLER; see weft-agent --help/],
    [['--controller', 'a', '--vtep', 'b'], /--vtep <ip>' argument 'b' is invalid: expected an IPv4 or IPv6 address/],
    [['--controller', 'a', '--metrics', '9'], /expected HOST:PORT, or off/],
    [['--controler', 'a'], /unknown option '--controler' \(did you mean --controller\?\)/],
    [['start'], /unknown command 'start'/],
    [['enter', '--netns', 'x'], /missing required argument 'command'; see weft-agent enter --help/],
    [['enter', '--netns', 'x', '--bind', 'a', 'ls'], /expected SOURCE:TARGET/],
  ])('refuses %j in one line', (argv, says) => {
    const { parsed, stdout, stderr } = read(...argv);
    expect({ parsed, stdout }).toEqual({ parsed: { command: 'exit', code: 2 }, stdout: '' });
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/^weft-agent: [^\n]+\n$/);
  });
});
