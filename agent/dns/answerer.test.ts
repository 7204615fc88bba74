import { decode, encode, type Answer, type DecodedPacket, type RecordClass, type RecordType } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp } from '../../core/address.js';
import { createLogger } from '../../core/daemon/log.js';
import { Answerer, standardChain } from './answerer.js';
import { RCODE, type DnsHandler, type RcodeName } from './handler.js';
import { networkId, viewOf } from './view.testing.js';
import { Names } from './view.js';

const log = createLogger({ daemon: 'test', level: 'fatal' });
const view = viewOf(
  {
    name: 'backend',
    subnets: ['10.1.0.0/24 10.1.0.1', 'fd00:1::/64 fd00:1::1'],
    endpoints: [
      { sandbox: 'app', addresses: ['10.1.0.2', 'fd00:1::2'] },
      { sandbox: 'db', addresses: ['10.1.0.7'], aliases: ['Postgres'] },
      { sandbox: 'gone', addresses: ['10.1.0.8'], state: 'removing' },
      ...Array.from({ length: 100 }, (_, index) => ({
        sandbox: 'many',
        addresses: [`10.1.0.${String(100 + index)}`],
        host: 2 + index,
      })),
    ],
  },
  {
    name: 'Frontend',
    subnets: ['10.2.0.0/24 10.2.0.1'],
    options: { 'dns-ttl': '60' },
    endpoints: [
      { sandbox: 'app', addresses: ['10.2.0.2'] },
      { sandbox: 'db', addresses: ['10.2.0.7'] },
      { sandbox: 'web', addresses: ['10.2.0.9'] },
    ],
  },
  { name: 'secret', subnets: ['10.3.0.0/24 10.3.0.1'], endpoints: [{ sandbox: 'vault', addresses: ['10.3.0.2'] }] },
);
const names = new Names(view);
const { signal } = new AbortController();

interface Ask {
  readonly type?: RecordType | 'ANY';
  readonly class?: RecordClass;
  readonly from?: string;
  readonly network?: number;
  readonly udpBytes?: number;
  readonly transport?: 'udp' | 'tcp';
}

async function send(bytes: Buffer, ask: Ask = {}, chain: readonly DnsHandler[] = standardChain()) {
  const answerer = new Answerer({ chain, names: () => names, log });
  const asker = { networkId: networkId(ask.network ?? 1), address: parseIp(ask.from ?? '10.1.0.2') };
  return answerer.answer(bytes, asker, { transport: ask.transport ?? 'udp', signal });
}

function queryOf(name: string, ask: Ask): Buffer {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: ask.udpBytes ?? 0,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  } satisfies Answer;
  return encode({
    type: 'query',
    id: 0x1234,
    flags: 0x0100,
    // The codec knows ANY, its types do not.
    questions: [{ type: (ask.type ?? 'A') as RecordType, name, class: ask.class ?? 'IN' }],
    additionals: ask.udpBytes === undefined ? [] : [opt],
  });
}

interface Told {
  readonly rcode: RcodeName | undefined;
  readonly data: readonly unknown[];
  readonly packet: DecodedPacket;
  readonly bytes: Buffer;
}

async function ask(name: string, options: Ask = {}, chain?: readonly DnsHandler[]): Promise<Told> {
  const reply = await send(queryOf(name, options), options, chain);
  if (reply === undefined) throw new Error('no reply came');
  return told(reply);
}

function told(bytes: Buffer): Told {
  const packet = decode(bytes);
  const number = bytes.readUInt16BE(2) & 0xf;
  const rcode = (Object.keys(RCODE) as RcodeName[]).find((key) => RCODE[key] === number);
  return {
    rcode,
    data: (packet.answers ?? []).map((answer) => ('data' in answer ? answer.data : answer)),
    packet,
    bytes,
  };
}

describe('names', () => {
  it('may be kept as long as their own network says', async () => {
    const ttlOf = async (name: string, type: RecordType = 'A') => {
      const [answer] = (await ask(name, { type })).packet.answers ?? [];
      return answer !== undefined && 'ttl' in answer ? answer.ttl : undefined;
    };
    expect(await ttlOf('db')).toBe(5);
    expect(await ttlOf('db.frontend')).toBe(60);
    expect(await ttlOf('web')).toBe(60);
    expect(await ttlOf('9.0.2.10.in-addr.arpa', 'PTR')).toBe(60);
    expect(await ttlOf('7.0.1.10.in-addr.arpa', 'PTR')).toBe(5);
  });

  it.each([
    ['app', 'A', 'NOERROR', ['10.1.0.2']],
    ['APP', 'A', 'NOERROR', ['10.1.0.2']],
    ['app', 'AAAA', 'NOERROR', ['fd00:1::2']],
    ['postgres', 'A', 'NOERROR', ['10.1.0.7']],
    ['postgres.backend', 'A', 'NOERROR', ['10.1.0.7']],
    ['db', 'A', 'NOERROR', ['10.1.0.7']], // the asked network's, not Frontend's
    ['db.frontend', 'A', 'NOERROR', ['10.2.0.7']],
    ['DB.BACKEND', 'A', 'NOERROR', ['10.1.0.7']],
    ['web', 'A', 'NOERROR', ['10.2.0.9']], // only in the sandbox's other network
    ['db', 'AAAA', 'NOERROR', []], // it exists, without this family
    ['db', 'MX', 'NOERROR', []],
    ['backend', 'A', 'NOERROR', []], // names below it exist
    ['gone', 'A', 'NXDOMAIN', []],
    ['nobody', 'A', 'NXDOMAIN', []],
    ['nobody.backend', 'A', 'NXDOMAIN', []],
    ['a.db.backend', 'A', 'NXDOMAIN', []],
    ['vault', 'A', 'NXDOMAIN', []],
    ['vault.secret', 'A', 'REFUSED', []], // a network the asker is not in is not told apart from none
    ['example.com', 'A', 'REFUSED', []],
    ['.', 'NS', 'REFUSED', []],
  ] as const)('%s %s is %s %j', async (name, type, rcode, data) => {
    const reply = await ask(name, { type });
    expect([reply.rcode, reply.data]).toEqual([rcode, data]);
    expect(reply.packet.flag_aa).toBe(rcode !== 'REFUSED');
    expect([reply.packet.flag_ra, reply.packet.flag_rd]).toEqual([false, true]);
  });

  it('are asked of the network whose gateway was asked, first', async () => {
    expect((await ask('db', { network: 2, from: '10.2.0.2' })).data).toEqual(['10.2.0.7']);
  });

  it('come back with short lives, in the case they were asked in', async () => {
    const { packet } = await ask('Postgres.BackEnd');
    expect(packet.questions).toMatchObject([{ name: 'Postgres.BackEnd', type: 'A', class: 'IN' }]);
    expect(packet.answers).toMatchObject([{ name: 'Postgres.BackEnd', ttl: 5 }]);
  });

  it('that are absent come with the SOA of where they would be, not to be kept', async () => {
    const under = (await ask('nobody.backend')).packet.authorities;
    expect(under).toMatchObject([{ type: 'SOA', name: 'backend', ttl: 0, data: { minimum: 0, serial: 42 } }]);
    expect((await ask('nobody')).packet.authorities).toMatchObject([{ type: 'SOA', name: '.', ttl: 0 }]);
  });

  it('with several addresses take turns', async () => {
    const chain = standardChain();
    const first = async () => (await ask('many', { transport: 'tcp' }, chain)).data[0];
    const firsts = [await first(), await first(), await first()];
    expect(new Set(firsts).size).toBe(3);
  });

  it('answer ANY as RFC 8482 has it', async () => {
    expect((await ask('db', { type: 'ANY' })).data).toEqual([{ cpu: 'RFC8482', os: '' }]);
    expect((await ask('nobody', { type: 'ANY' })).rcode).toBe('NXDOMAIN');
  });
});

describe('reverse names', () => {
  const v6 = '2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa';
  it.each([
    ['7.0.1.10.in-addr.arpa', 'PTR', 'NOERROR', ['db.backend']],
    ['9.0.2.10.in-addr.arpa', 'PTR', 'NOERROR', ['web.Frontend']],
    [v6, 'PTR', 'NOERROR', ['app.backend']],
    [v6.toUpperCase(), 'PTR', 'NOERROR', ['app.backend']],
    ['7.0.1.10.in-addr.arpa', 'A', 'NOERROR', []],
    ['8.0.1.10.in-addr.arpa', 'PTR', 'NXDOMAIN', []], // being removed
    ['99.0.1.10.in-addr.arpa', 'PTR', 'NXDOMAIN', []],
    ['2.0.3.10.in-addr.arpa', 'PTR', 'REFUSED', []], // a network the asker is not in
    ['8.8.8.8.in-addr.arpa', 'PTR', 'REFUSED', []],
    ['1.10.in-addr.arpa', 'PTR', 'REFUSED', []],
    ['07.0.1.10.in-addr.arpa', 'PTR', 'REFUSED', []],
  ] as const)('%s %s is %s %j', async (name, type, rcode, data) => {
    const reply = await ask(name, { type });
    expect([reply.rcode, reply.data]).toEqual([rcode, data]);
  });
});

describe('the wire', () => {
  it('refuses what is no question of the Internet', async () => {
    expect((await ask('version.bind', { type: 'TXT', class: 'CH' })).rcode).toBe('REFUSED');
    const update = queryOf('db', {});
    update.writeUInt16BE(5 << 11, 2);
    expect(told((await send(update)) ?? Buffer.alloc(0)).bytes.readUInt16BE(2)).toBe(0x8000 | (5 << 11) | RCODE.NOTIMP);
  });

  it('says FORMERR to no question, two questions, and garbage behind a header', async () => {
    const question = { type: 'A', name: 'db' } as const;
    const bad = [
      encode({ type: 'query', id: 7, questions: [] }),
      encode({ type: 'query', id: 7, questions: [question, question] }),
      Buffer.concat([queryOf('db', {}).subarray(0, 12), Buffer.from([3, 1])]),
    ];
    for (const bytes of bad) expect(told((await send(bytes)) ?? Buffer.alloc(0)).rcode).toBe('FORMERR');
  });

  it('says nothing to answers and to less than a header', async () => {
    const answer = queryOf('db', {});
    answer.writeUInt16BE(0x8100, 2);
    expect(await send(answer)).toBeUndefined();
    expect(await send(queryOf('db', {}).subarray(0, 11))).toBeUndefined();
  });

  it('sends EDNS back to who speaks it, and only then', async () => {
    expect((await ask('db', { udpBytes: 4096 })).packet.additionals).toMatchObject([
      { type: 'OPT', udpPayloadSize: 1232, ednsVersion: 0, extendedRcode: 0 },
    ]);
    expect((await ask('db')).packet.additionals).toEqual([]);
  });

  it('says BADVERS to an EDNS version it does not know', async () => {
    const query = queryOf('db', { udpBytes: 1232 });
    query.writeUInt8(1, query.length - 5); // of the OPT's last six: version, flags, length of the options
    const { packet } = told((await send(query)) ?? Buffer.alloc(0));
    expect(packet.answers).toEqual([]);
    expect(packet.additionals).toMatchObject([{ type: 'OPT', ednsVersion: 0, extendedRcode: 1 }]);
  });

  it('sends what fits over UDP, marked as truncated, and everything over TCP', async () => {
    for (const [udpBytes, limit] of [
      [undefined, 512],
      [100, 512],
      [900, 900],
      [4096, 1232],
    ] as const) {
      const { packet, bytes, data } = await ask('many.backend', udpBytes === undefined ? {} : { udpBytes });
      expect(packet.flag_tc).toBe(true);
      expect(bytes.length).toBeLessThanOrEqual(limit);
      // No space for one more: an A record of this name takes 28 bytes.
      expect(bytes.length).toBeGreaterThan(limit - 28);
      expect(data.length).toBeGreaterThan(0);
    }
    const whole = await ask('many.backend', { transport: 'tcp' });
    expect([whole.packet.flag_tc, whole.data.length]).toEqual([false, 100]);
  });

  it('sends the question back byte for byte, whatever is in its labels', async () => {
    const query = queryOf('xxxx', {});
    Buffer.from([0x2e, 0xff, 0x00, 0xc3]).copy(query, 13);
    const reply = await send(query);
    expect(reply?.subarray(12, query.length)).toEqual(query.subarray(12));
  });

  it('turns a handler that throws into SERVFAIL', async () => {
    const broken: DnsHandler = {
      name: 'broken',
      answer: () => {
        throw new Error('out of order');
      },
    };
    expect((await ask('db', {}, [broken])).rcode).toBe('SERVFAIL');
  });

  it('never throws, and answers only what can be read again, whatever bytes come', async () => {
    const damaged = fc
      .record({
        base: fc.constantFrom(
          queryOf('db.backend', { udpBytes: 1232 }),
          queryOf('many', {}),
          queryOf('7.0.1.10.in-addr.arpa', { type: 'PTR', udpBytes: 512 }),
        ),
        damage: fc.array(fc.tuple(fc.nat(70), fc.nat(255)), { maxLength: 8 }),
        tail: fc.uint8Array({ maxLength: 40 }),
      })
      .map(({ base, damage, tail }) => {
        const bytes = Buffer.concat([base, tail]);
        for (const [at, value] of damage) if (at < bytes.length) bytes.writeUInt8(value, at);
        return bytes;
      });
    const anything = fc.oneof(
      damaged,
      fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(anything, async (bytes) => {
        const reply = await send(bytes);
        if (reply === undefined) return;
        expect(reply.length).toBeLessThanOrEqual(1232);
        expect(reply.readUInt16BE(0)).toBe(bytes.readUInt16BE(0));
        expect(decode(reply).flag_qr).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});
