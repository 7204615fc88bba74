import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, type IpAddress } from '../../core/address.js';
import { renderHosts, renderResolvConf, SandboxFiles } from './files.js';

const ips = (...texts: string[]): IpAddress[] => texts.flatMap((text) => parseIp(text) ?? []);
const NOTHING = { name: 'a', nameservers: [], addresses: [], search: [], resolverOptions: [] };
let directory = '';
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'weft-files-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

describe('a sandbox’s files', () => {
  it('name the gateways, three at most, and no search list', () => {
    const nameservers = ips('10.1.0.1', 'fd00::1', '10.2.0.1', '10.3.0.1');
    expect(renderResolvConf({ nameservers, search: [], resolverOptions: [] })).toBe(
      'nameserver 10.1.0.1\nnameserver fd00::1\nnameserver 10.2.0.1\nsearch .\noptions ndots:0\n',
    );
  });

  it('say what the networks set of search domains and options', () => {
    const nameservers = ips('10.1.0.1');
    const of = (...resolverOptions: string[]) =>
      renderResolvConf({ nameservers, search: ['a.example', 'b.example'], resolverOptions });
    expect(of('timeout:2')).toBe('nameserver 10.1.0.1\nsearch a.example b.example\noptions ndots:0 timeout:2\n');
    expect(of('rotate', 'ndots:1')).toContain('options rotate ndots:1\n');
  });

  it('know localhost and the sandbox itself', () => {
    expect(renderHosts('db', ips('10.1.0.5', 'fd00::5'))).toBe(
      '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.1.0.5\tdb\nfd00::5\tdb\n',
    );
  });

  it('change in place, and go with their sandbox', () => {
    const files = new SandboxFiles(directory);
    const { hosts } = files.pathsOf('a');
    const tell = (...addresses: string[]) =>
      files.update(new Map([['a', { ...NOTHING, addresses: ips(...addresses) }]]));
    expect(tell('10.1.0.5')).toEqual([]);
    const { ino } = statSync(hosts);
    expect(tell('10.1.0.6')).toEqual([]);
    expect(readFileSync(hosts, 'utf8')).toContain('10.1.0.6\ta');
    // A program that has the file mounted sees the change only in the same file.
    expect(statSync(hosts).ino).toBe(ino);
    expect(new SandboxFiles(directory).update(new Map())).toEqual([]);
    expect(existsSync(path.dirname(hosts))).toBe(false);
  });

  it('that cannot be written are a problem, not an error', () => {
    const occupied = path.join(directory, 'file');
    writeFileSync(occupied, '');
    const files = new SandboxFiles(occupied);
    const problems = files.update(new Map([['a', NOTHING]]));
    expect(problems.map(({ object }) => object)).toEqual(['sandbox a, files']);
  });
});
