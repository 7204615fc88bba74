import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Descriptor } from './descriptor.js';
import { close } from './ffi.js';
import { KernelError } from './kernel-error.js';
import {
  createNetns,
  deleteNetns,
  inNetns,
  inScratchNetns,
  isNetns,
  listNetns,
  openNetns,
  warmThreadPool,
  type Sync,
} from './namespace.js';
import { runIn, TestNamespaces } from './testing.js';

const own = (): string => readlinkSync('/proc/thread-self/ns/net');
const codeOf = (run: () => unknown): unknown => {
  try {
    run();
  } catch (error) {
    return error instanceof KernelError ? error.code : error;
  }
  return 'nothing thrown';
};

let namespaces: TestNamespaces;
beforeEach(() => {
  namespaces = new TestNamespaces();
});
afterEach(() => {
  namespaces[Symbol.dispose]();
});

describe('inNetns', () => {
  it('is inside while it runs and home afterwards, also when nested and when it throws', () => {
    const home = own();
    const [a, b] = [namespaces.make('a'), namespaces.make('b')];
    const seen = inNetns(a, () => {
      const outer = own();
      const inner = inNetns(b, own);
      return [outer, inner, own()];
    });
    expect(new Set([home, seen[0], seen[1]]).size).toBe(3);
    expect(seen[2]).toBe(seen[0]);
    expect(() =>
      inNetns(a, () => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(own()).toBe(home);
  });

  it('is where `ip netns` would be', () => {
    const a = namespaces.make('a');
    expect(inNetns(a, own)).toBe(runIn(a, ['readlink', '/proc/self/ns/net']).trim());
  });

  it('leaves every other thread at home', async () => {
    await warmThreadPool();
    const home = own();
    const a = namespaces.make('a');
    const inside = inNetns(a, () =>
      readdirSync('/proc/self/task').filter((tid) => readlinkSync(`/proc/self/task/${tid}/ns/net`) !== home),
    );
    expect(inside).toHaveLength(1);
    const away = readdirSync('/proc/self/task').filter((tid) => readlinkSync(`/proc/self/task/${tid}/ns/net`) !== home);
    expect(away).toEqual([]);
  });

  it('refuses a promise, in the types and at run time', () => {
    const a = namespaces.make('a');
    const home = own();
    const asynchronous = () => Promise.resolve(1);
    // @ts-expect-error an asynchronous callback is a type error
    expect(() => inNetns(a, asynchronous)).toThrow(TypeError);
    expect(() => inNetns(a, asynchronous as unknown as () => Sync<number>)).toThrow(TypeError);
    expect(own()).toBe(home);
  });

  it('says what is wrong with the path', () => {
    expect(codeOf(() => inNetns(join(namespaces.directory, 'none'), own))).toBe('ENOENT');
    expect(codeOf(() => inNetns('/etc/passwd', own))).toBe('EINVAL');
  });
});

describe('createNetns', () => {
  it('makes a namespace that is another one, listed, and refuses to make it twice', () => {
    const path = namespaces.make('weft-a');
    namespaces.make('other');
    expect(inNetns(path, own)).not.toBe(own());
    expect(listNetns(namespaces.directory, 'weft-')).toEqual([{ name: 'weft-a', path, mounted: true }]);
    expect(
      codeOf(() => {
        createNetns(path);
      }),
    ).toBe('EEXIST');
  });

  it('takes over the plain file of a crash half way', () => {
    const path = join(namespaces.directory, 'half');
    writeFileSync(path, '');
    expect(listNetns(namespaces.directory, '')).toEqual([{ name: 'half', path, mounted: false }]);
    createNetns(path);
    expect(isNetns(path)).toBe(true);
  });

  it('shares its directory, once, so that other mount namespaces see a namespace go', () => {
    namespaces.make('a');
    namespaces.make('b');
    const mounts = execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.split(' ')[4] === namespaces.directory);
    expect(mounts).toHaveLength(1);
    expect(mounts[0]).toMatch(/ shared:\d+ /);
  });
});

describe('deleteNetns', () => {
  it('takes mount and file away, and does nothing the second time', () => {
    const path = namespaces.make('a');
    deleteNetns(path);
    deleteNetns(path);
    expect(existsSync(path)).toBe(false);
    expect(listNetns(namespaces.directory, '')).toEqual([]);
    expect(listNetns('/run/weft-no-such-directory', '')).toEqual([]);
  });
});

describe('inScratchNetns', () => {
  it('leaves nothing behind', () => {
    const home = own();
    expect(inScratchNetns(own)).not.toBe(home);
    expect(own()).toBe(home);
  });
});

describe('Descriptor', () => {
  it('closes once, and not what was released', () => {
    const path = namespaces.make('a');
    const owned = openNetns(path);
    const { fd } = owned;
    owned[Symbol.dispose]();
    owned[Symbol.dispose]();
    expect(close(fd)).toBe(-9); // EBADF: it was closed
    expect(() => owned.fd).toThrow('closed');

    using given = openNetns(path);
    const number = given.release();
    given[Symbol.dispose]();
    expect(close(number)).toBe(0);
  });

  it('refuses a number that C would truncate to another descriptor', () => {
    expect(() => close(2 ** 40)).toThrow(RangeError);
    expect(() => close(-1)).toThrow(RangeError);
    expect(() => close(1.5)).toThrow(RangeError);
    expect(() => {
      new Descriptor(2 ** 40)[Symbol.dispose]();
    }).toThrow(RangeError);
  });
});
