import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { EXIT, REASONS, WeftError, type Reason } from '../../core/errors.js';
import { Interruption } from '../surroundings.js';
import { exitCodeOf, renderError } from './errors.js';

const quiet = { requestId: 'r-1', verbose: false, helpCommand: 'weft network rm --help' };

describe('the exit status', () => {
  it.each(Object.keys(REASONS) as Reason[])('of %s is that of its status', (reason) => {
    const expected = EXIT[REASONS[reason]];
    expect(exitCodeOf(new WeftError({ reason, message: 'm' }))).toBe(expected);
    expect(expected).toBeGreaterThan(0);
  });

  it('of bad usage is 2, of help 0, of a signal 128 and its number, of a mistake of ours 1', () => {
    expect(exitCodeOf(new CommanderError(1, 'commander.unknownOption', 'error: x'))).toBe(2);
    expect(exitCodeOf(new CommanderError(0, 'commander.helpDisplayed', '(outputHelp)'))).toBe(0);
    expect(exitCodeOf(new Interruption('SIGTERM', 143))).toBe(143);
    expect(exitCodeOf(new TypeError('x is undefined'))).toBe(1);
    expect(exitCodeOf('thrown')).toBe(1);
  });
});

describe('renderError', () => {
  it('is one line', () => {
    const error = new WeftError({
      reason: 'NETWORK_IN_USE',
      message: 'network web is in use:\n  shop on h1\n  db on h2.',
    });
    expect(renderError(error, quiet)).toBe('weft: network web is in use: shop on h1 db on h2\n');
  });

  it('says of an unreachable controller why, and which option names another', () => {
    const wrapped =
      'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:7070. Resolution note: ';
    const error = new WeftError({
      reason: 'CONTROLLER_UNAVAILABLE',
      message: `the controller cannot be reached: ${wrapped}`,
    });
    expect(renderError(error, quiet)).toBe(
      'weft: the controller cannot be reached: connect ECONNREFUSED 127.0.0.1:7070; start it, or name another with --controller or WEFT_CONTROLLER\n',
    );
  });

  it('takes a full stop away, and leaves what is left out', () => {
    const line = (message: string) => renderError(new WeftError({ reason: 'ARGUMENT_INVALID', message }), quiet);
    expect(line('it is so.')).toBe('weft: it is so\n');
    expect(line('there are name=..., until=...')).toBe('weft: there are name=..., until=...\n');
  });

  it('names the request where the fault is not the caller', () => {
    expect(renderError(new Error('boom'), quiet)).toBe('weft: boom (INTERNAL, request r-1)\n');
    expect(renderError(new WeftError({ reason: 'KERNEL_FAILED', message: 'EPERM' }), quiet)).toContain('request r-1');
    expect(renderError(new WeftError({ reason: 'ADDRESS_TAKEN', message: 'm' }), quiet)).not.toContain('r-1');
  });

  it('says more with --verbose', () => {
    const error = new WeftError({
      reason: 'ARGUMENT_INVALID',
      message: 'm',
      violations: [{ field: 'subnets[0].cidr', description: 'is none' }],
      metadata: { network: 'web' },
    });
    expect(renderError(error, { ...quiet, verbose: true })).toBe(
      'weft: m (ARGUMENT_INVALID, request r-1)\n  subnets[0].cidr: is none\n  network: web\n',
    );
  });

  it("turns commander's errors into the same form", () => {
    const error = new CommanderError(
      1,
      'commander.unknownOption',
      "error: unknown option '--forse'\n(Did you mean --force?)",
    );
    expect(renderError(error, quiet)).toBe(
      "weft: unknown option '--forse' (did you mean --force?); see weft network rm --help\n",
    );
  });

  it('is silent about help and interruptions', () => {
    expect(renderError(new CommanderError(1, 'commander.help', '(outputHelp)'), quiet)).toBe('');
    expect(renderError(new Interruption('SIGINT', 130), quiet)).toBe('');
  });
});
