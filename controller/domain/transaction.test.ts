import { describe, expect, it } from 'vitest';
import { Draft } from './transaction.js';

function draft(of: number, add: (into: Draft, key: string) => void): Draft {
  const made = new Draft();
  for (let each = 0; each < of; each += 1) add(made, `/key/${String(each)}`);
  return made;
}

describe('a draft', () => {
  it.each([
    ['compares', (into: Draft, key: string) => into.absent(key)],
    ['puts', (into: Draft, key: string) => into.put({ key, value: Buffer.alloc(0) })],
    ['deletes', (into: Draft, key: string) => into.release(key)],
    ['deletes of prefixes', (into: Draft, key: string) => into.releasePrefix(key)],
  ])('has no more %s than every etcd takes', (_, add) => {
    expect(() => draft(128, add).build()).not.toThrow();
    expect(() => draft(129, add).build()).toThrow(RangeError);
  });
});
