import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addGlobals, resolveGlobals, typedGlobals } from './globals.js';

describe('resolveGlobals', () => {
  it('has a default for everything', () => {
    expect(resolveGlobals({}, {}, '/home/ada')).toEqual({
      json: false,
      controllers: '127.0.0.1:7070',
      agentSocket: '/run/weft/agent.sock',
      tlsDir: '/home/ada/.config/weft/tls',
      timeoutMs: 30_000,
      timeoutTyped: false,
      verbose: false,
    });
  });

  it('takes options before the environment, and an empty variable for none', () => {
    const env = { WEFT_CONTROLLER: 'c1:7070', WEFT_AGENT: '/a.sock', WEFT_TLS_DIR: '' };
    expect(resolveGlobals({ controller: 'c2:7070', timeout: '0.25' }, env, '/root')).toMatchObject({
      controllers: 'c2:7070',
      agentSocket: '/a.sock',
      tlsDir: '/root/.config/weft/tls',
      timeoutMs: 250,
    });
  });

  it.each(['0', '-1', 'x', '', '1e3', '99999999', ' 5', 'Infinity'])('refuses --timeout %j', (timeout) => {
    expect(() => resolveGlobals({ timeout }, {}, '/root')).toThrow(/^--timeout: expected seconds/);
  });
});

describe('typedGlobals', () => {
  it('finds options wherever they stand; the nearest to the command counts', () => {
    const program = new Command('weft').enablePositionalOptions();
    const noun = program.command('network');
    const verb = noun.command('ls').action(() => undefined);
    for (const command of [program, noun, verb]) addGlobals(command);
    const line = ['--controller', 'a', '--verbose', 'network', '--agent', 's', 'ls', '--controller', 'b', '--json'];
    program.parse(line, { from: 'user' });
    expect(typedGlobals(verb)).toEqual({ controller: 'b', verbose: true, agent: 's', json: true });
  });
});
