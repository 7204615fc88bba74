import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Errno } from '../errno.js';
import { ip, listIn, mac, runIn, TestNamespaces } from '../testing.js';
import { AttributeWriter, NetlinkFormatError } from './attribute.js';
import { fdbPut } from './fdb.js';
import { bridgeAdd, decodeLink, linkDel, linkList, linkSet, vethAdd } from './link.js';
import { NetlinkHandle } from './handle.js';
import { neighbourDel, neighbourPut } from './neighbour.js';
import { NetlinkSocket, type Transport } from './socket.js';
import { subscribe, NOTIFICATION_GROUPS, type Notification } from './notifications.js';

describe('in a real namespace', () => {
  let namespaces: TestNamespaces;
  let netns: string;
  beforeEach(() => {
    namespaces = new TestNamespaces();
    netns = namespaces.make('a');
  });
  afterEach(() => {
    namespaces[Symbol.dispose]();
  });

  it('a refused request says why, in the kernel’s words, and stops none behind it', () => {
    using handle = NetlinkHandle.open({ netns });
    const results = handle.request([
      bridgeAdd({ name: 'bridge0', mac: mac('02:00:00:00:00:01') }),
      linkDel(999),
      linkSet(2, { mtu: 1 }),
      bridgeAdd({ name: 'bridge1', mac: mac('02:00:00:00:00:02') }),
    ]);
    expect(results.map((result) => result?.code)).toEqual([undefined, 'ENODEV', 'EINVAL', undefined]);
    // What `ip link set mtu 1` prints.
    expect(results[2]?.kernelMessage).toBe('mtu less than device minimum');
    expect(results[2]?.message).toBe('link set 2 mtu: mtu less than device minimum (EINVAL)');
    expect(listIn(netns, ['ip', '-j', 'link']).map((link) => link['ifname'])).toEqual(['lo', 'bridge0', 'bridge1']);
  });

  it('thousands of requests get one result each, in order, across many sends', () => {
    using handle = NetlinkHandle.open({ netns });
    handle.do(bridgeAdd({ name: 'bridge0', mac: mac('02:00:00:00:00:01') }));
    const index = handle.link('bridge0')?.index ?? 0;
    const count = 3000;
    const address = (n: number) => ip(`10.0.${String(n >> 8)}.${String(n & 255)}`);
    const requests = Array.from({ length: count }, (_, n) =>
      // Every seventh deletes what is not there.
      n % 7 === 0
        ? neighbourDel({ index, ip: address(n) })
        : neighbourPut({ index, ip: address(n), mac: mac('02:00:00:00:00:02') }),
    );
    const results = handle.request(requests);
    expect(results).toHaveLength(count);
    results.forEach((result, n) => {
      expect(result?.code).toBe(n % 7 === 0 ? 'ENOENT' : undefined);
    });
    const put = requests.length - Math.ceil(count / 7);
    expect(handle.neighbours(index)).toHaveLength(put);
    expect(listIn(netns, ['ip', '-j', 'neigh', 'show', 'dev', 'bridge0', 'nud', 'permanent'])).toHaveLength(put);
  });

  it('an absent link is undefined, another refusal an error', () => {
    using handle = NetlinkHandle.open({ netns });
    expect(handle.link('none')).toBeUndefined();
    expect(() => handle.link('a-name-that-is-much-too-long')).toThrow(expect.objectContaining({ code: 'ERANGE' }));
  });

  it('is in its own namespace, and useless once disposed, twice', () => {
    const other = namespaces.make('b');
    using a = NetlinkHandle.open({ netns });
    const b = NetlinkHandle.open({ netns: other });
    a.do(bridgeAdd({ name: 'only-in-a', mac: mac('02:00:00:00:00:01') }));
    expect(b.links().map((link) => link.name)).toEqual(['lo']);
    b[Symbol.dispose]();
    b[Symbol.dispose]();
    expect(() => b.links()).toThrow('closed');
  });

  it('news arrives, and ends with the subscription', async () => {
    const news: Notification[] = [];
    const failures: unknown[] = [];
    using handle = NetlinkHandle.open({ netns });
    const subscription = subscribe(
      { netns, groups: NOTIFICATION_GROUPS },
      (notification) => news.push(notification),
      (error) => failures.push(error),
    );
    runIn(netns, ['ip', 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
    const names = () =>
      news.flatMap((notification) =>
        !notification.overrun && notification.type === 16 ? [decodeLink(notification.body).name] : [],
      );
    await expect.poll(names, { timeout: 5000, interval: 10 }).toContain('v1');
    subscription[Symbol.dispose]();
    subscription[Symbol.dispose]();
    const before = news.length;
    handle.do(linkSet(handle.link('v0')?.index ?? 0, { mtu: 1400 }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(news).toHaveLength(before);
    expect(failures).toEqual([]);
  });

  it('lost news is told as an overrun', async () => {
    let overruns = 0;
    using handle = NetlinkHandle.open({ netns });
    handle.do(bridgeAdd({ name: 'bridge0', mac: mac('02:00:00:00:00:01') }));
    handle.do(vethAdd({ name: 'v0', peer: { name: 'v1' }, master: handle.link('bridge0')?.index }));
    const index = handle.link('v0')?.index ?? 0;
    using subscription = subscribe(
      { netns, groups: ['neighbour'] },
      (notification) => {
        if (notification.overrun) overruns++;
      },
      (error) => {
        throw error;
      },
    );
    expect(subscription).toBeDefined();
    // Synchronous, so nobody reads the news meanwhile.
    const hex = (n: number) => n.toString(16).padStart(2, '0');
    const results = handle.request(
      Array.from({ length: 20_000 }, (_, n) =>
        fdbPut({ table: 'master', index, mac: mac(`02:00:00:00:${hex(n >> 8)}:${hex(n & 255)}`) }),
      ),
    );
    expect(results.filter((result) => result !== undefined)).toEqual([]);
    await expect.poll(() => overruns, { timeout: 5000, interval: 10 }).toBeGreaterThan(0);
  });
});

/** Answers in a script: a datagram, or an error number, for each receive. The kernel shows these failures too rarely to wait for. */
class ScriptedTransport implements Transport {
  sent = 0;
  sequence = 0;
  readonly #script: ((sequence: number) => Buffer | number)[];

  constructor(script: ((sequence: number) => Buffer | number)[]) {
    this.#script = script;
  }

  send(data: Buffer, length: number): number {
    this.sent++;
    this.sequence = data.readUInt32LE(8);
    return length;
  }

  receive(into: Buffer): number {
    const answer = this.#script.shift()?.(this.sequence) ?? -Errno.EAGAIN;
    if (typeof answer === 'number') return answer;
    return answer.copy(into);
  }

  [Symbol.dispose](): void {
    this.#script.length = 0;
  }
}

const message = (type: number, sequence: number, flags: number, body: Buffer): Buffer => {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, body]);
};
const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const link = (name: string): Buffer => {
  const out = new AttributeWriter();
  for (let word = 0; word < 4; word++) out.rawU32(0);
  out.string(3, name);
  return Buffer.from(out.buffer.subarray(0, out.length));
};
const item =
  (name: string, flags = 2) =>
  (sequence: number) =>
    message(16, sequence, flags, link(name));
const done =
  (flags = 2) =>
  (sequence: number) =>
    message(3, sequence, flags, number(0));
const names = (transport: Transport) => new NetlinkSocket(transport).dump(linkList(), (body) => decodeLink(body).name);
const INTERRUPTED = 0x12;

describe('a dump', () => {
  it('that was interrupted is read again, whole', () => {
    const transport = new ScriptedTransport([
      item('half'),
      item('moved', INTERRUPTED),
      done(),
      item('a'),
      item('b'),
      done(INTERRUPTED),
      item('a'),
      item('c'),
      done(),
    ]);
    expect(names(transport)).toEqual(['a', 'c']);
    expect(transport.sent).toBe(3);
  });

  it('that lost a part is read again, whether its end was lost or not', () => {
    const lost = () => -Errno.ENOBUFS;
    const transport = new ScriptedTransport([
      item('half'),
      lost,
      done(),
      item('half'),
      lost,
      () => -Errno.EAGAIN,
      item('a'),
      done(),
    ]);
    expect(names(transport)).toEqual(['a']);
    expect(transport.sent).toBe(3);
  });

  it('that is always interrupted gives up', () => {
    const transport = new ScriptedTransport(Array.from({ length: 40 }, () => done(INTERRUPTED)));
    expect(() => names(transport)).toThrow(expect.objectContaining({ code: 'EINTR' }));
    expect(transport.sent).toBe(10);
  });

  it('passes over what belongs to an earlier request', () => {
    const transport = new ScriptedTransport([() => message(16, 999, 2, link('stale')), item('a'), done()]);
    expect(names(transport)).toEqual(['a']);
  });

  it('that the kernel refuses is an error, at its start and at its end', () => {
    const refusal = (type: number) => new ScriptedTransport([(sequence) => message(type, sequence, 2, number(-22))]);
    expect(() => names(refusal(2))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(() => names(refusal(3))).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  it('that stops without an end, or was cut, is an error and no endless wait', () => {
    expect(() => names(new ScriptedTransport([item('a')]))).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
    expect(() => names(new ScriptedTransport([() => 1024 * 1024]))).toThrow(NetlinkFormatError);
  });
});

describe('a batch', () => {
  const requests = [linkDel(1), linkDel(2), linkDel(3)];
  const codes = (script: ((sequence: number) => Buffer | number)[]) =>
    new NetlinkSocket(new ScriptedTransport(script)).request(requests).map((result) => result?.code);
  const answer = (index: number, errno: number) => (sequence: number) =>
    message(2, (sequence + index) >>> 0, 0, number(-errno));

  it('is done when its last is acknowledged, but for those refused', () => {
    expect(codes([answer(2, 0)])).toEqual([undefined, undefined, undefined]);
    expect(codes([answer(0, 17), answer(2, 0)])).toEqual(['EEXIST', undefined, undefined]);
    expect(codes([answer(1, 19), answer(2, 22)])).toEqual([undefined, 'ENODEV', 'EINVAL']);
  });

  it('whose answers were lost says so of every request without one', () => {
    expect(codes([answer(0, 17), () => -Errno.ENOBUFS, answer(2, 0)])).toEqual(['EEXIST', 'ENOBUFS', undefined]);
  });

  it('that is not answered to its end is not taken for done', () => {
    expect(codes([])).toEqual(['EAGAIN', 'EAGAIN', 'EAGAIN']);
    expect(codes([answer(0, 17)])).toEqual(['EEXIST', 'EAGAIN', 'EAGAIN']);
  });

  it('takes several answers in one datagram, and none of an earlier batch', () => {
    expect(
      codes([
        answer(-7, 22),
        (sequence) => Buffer.concat([answer(0, 17)(sequence), answer(1, 19)(sequence), answer(2, 0)(sequence)]),
      ]),
    ).toEqual(['EEXIST', 'ENODEV', undefined]);
  });

  it('of none sends nothing', () => {
    const transport = new ScriptedTransport([]);
    expect(new NetlinkSocket(transport).request([])).toEqual([]);
    expect(transport.sent).toBe(0);
  });
});
