import { readlinkSync } from 'node:fs';
import { expect, it } from 'vitest';
import { NetlinkHandle } from './netlink/handle.js';
import { probe } from './probe.js';

it('this machine can do all an overlay network needs, and probing it leaves no trace', () => {
  const home = readlinkSync('/proc/thread-self/ns/net');
  using handle = NetlinkHandle.open();
  const before = handle.links().map((link) => link.name);
  expect(probe()).toEqual([]);
  expect(handle.links().map((link) => link.name)).toEqual(before);
  expect(readlinkSync('/proc/thread-self/ns/net')).toBe(home);
});
