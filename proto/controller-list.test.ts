import { describe, expect, it } from 'vitest';
import { WeftError } from '../core/errors.js';
import { parseControllers, renderPlace } from './controller-list.js';

describe('a list of controllers', () => {
  it.each([
    ['192.0.2.1:7071', ['192.0.2.1:7071']],
    ['192.0.2.1', ['192.0.2.1:7070']],
    ['2001:db8::1', ['[2001:db8::1]:7070']],
    ['[2001:db8::1]:99', ['[2001:db8::1]:99']],
    ['c1.example:7070, c2', ['c1.example:7070', 'c2:7070']],
    ['192.0.2.1,[2001:db8::1],c3', ['192.0.2.1:7070', '[2001:db8::1]:7070', 'c3:7070']],
  ])('%s', (text, expected) => {
    expect(parseControllers(text).map(renderPlace)).toEqual(expected);
  });

  it.each(['', ',', 'c1,', 'c1:', 'c1:0', 'c1:65536', 'c1:x', 'a b', 'http://c1:7070', '[::1', '::1]:7070'])(
    '%j is none',
    (text) => {
      expect(() => parseControllers(text)).toThrow(WeftError);
      expect(() => parseControllers(text)).toThrow('expected HOST:PORT');
    },
  );
});
