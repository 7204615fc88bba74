/**
 * The wire: a datagram into a question, a reply into a datagram. dns-packet is the codec.
 *
 * Two things are done by hand. The question goes back as the very bytes that came, because a label may hold any byte,
 * and a codec that makes text of it would send back another name. And flags are read from the header, which is there
 * even when the rest is garbage.
 */
import { AUTHORITATIVE_ANSWER, decode, encode, RECURSION_DESIRED, TRUNCATED_RESPONSE, type Answer } from 'dns-packet';
import { nameKey } from '../../core/name.js';
import { RCODE, refuse, type Question, type Reply } from './handler.js';

const HEADER_BYTES = 12;
const CHECKING_DISABLED = 0x10;
const QUERY_OPCODE = 0;
const EDNS_VERSION = 0;
/** BADVERS is 16: it does not fit the header, its upper part travels in the OPT record. */
const BADVERS_EXTENDED = 1;

/** What a query without EDNS can take over UDP. */
const CLASSIC_UDP_BYTES = 512;
/** What is sent over UDP at most, and said to be taken: what goes through every underlay in one piece (DNS flag day 2020). */
const UDP_BYTES = 1232;
/** What a length of two bytes can say. */
export const TCP_BYTES = 65_535;

/** What every reply must bring back. */
interface Header {
  readonly id: number;
  readonly opcode: number;
  /** RD and CD as asked. */
  readonly flags: number;
  /** The question's bytes; empty when they could not be read. */
  readonly question: Buffer;
  readonly edns: Edns | undefined;
}

interface Edns {
  readonly udpBytes: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

/** A message that came in: something to answer, something that is wrong in itself, or nothing to react to. */
export type Incoming =
  | { readonly kind: 'question'; readonly header: Header; readonly question: Omit<Question, 'zones'> }
  | { readonly kind: 'refused'; readonly header: Header; readonly reply: Reply }
  | { readonly kind: 'ignored' };

/** Reads one message. Never throws. Less than a header, and answers (a loop, or an attack), are ignored. */
export function parseMessage(bytes: Buffer): Incoming {
  if (bytes.length < HEADER_BYTES || (bytes.readUInt8(2) & 0x80) !== 0) return { kind: 'ignored' };
  const flags = bytes.readUInt16BE(2);
  const opcode = (flags >> 11) & 0xf;
  const bare: Header = {
    id: bytes.readUInt16BE(0),
    opcode,
    flags: flags & (RECURSION_DESIRED | CHECKING_DISABLED),
    question: Buffer.alloc(0),
    edns: undefined,
  };
  if (opcode !== QUERY_OPCODE) return { kind: 'refused', header: bare, reply: refuse('NOTIMP') };
  const parsed = parseBody(bytes);
  if (parsed === undefined) return { kind: 'refused', header: bare, reply: refuse('FORMERR') };
  const header = { ...bare, question: parsed.raw, edns: parsed.edns };
  // The reply says BADVERS by its OPT record.
  if (parsed.edns !== undefined && parsed.edns.version !== EDNS_VERSION) {
    return { kind: 'refused', header, reply: refuse('NOERROR') };
  }
  return { kind: 'question', header, question: parsed.question };
}

function parseBody(bytes: Buffer) {
  const labels = readLabels(bytes);
  if (labels === undefined) return undefined;
  let packet;
  try {
    packet = decode(bytes);
  } catch {
    return undefined;
  }
  const [question, ...more] = packet.questions ?? [];
  const options = (packet.additionals ?? []).filter((record) => record.type === 'OPT');
  // More than one question was never defined (RFC 9619), more than one OPT is forbidden (RFC 6891).
  if (question === undefined || more.length > 0 || options.length > 1) return undefined;
  const [opt] = options;
  return {
    raw: bytes.subarray(HEADER_BYTES, labels.end + 4),
    question: {
      name: labels.texts.join('.') || '.',
      labels: labels.texts.map(nameKey),
      type: question.type,
      class: question.class ?? 'IN',
    },
    edns: opt && { udpBytes: opt.udpPayloadSize, version: opt.ednsVersion, dnssecOk: opt.flag_do },
  };
}

/** The labels of the first question, byte for byte (latin1); undefined where they do not end, or point elsewhere. */
function readLabels(bytes: Buffer): { texts: string[]; end: number } | undefined {
  const texts: string[] = [];
  let at = HEADER_BYTES;
  while (at < bytes.length) {
    const length = bytes.readUInt8(at);
    at += 1;
    if (length === 0) return { texts, end: at };
    if (length > 63 || at + length > bytes.length) return undefined;
    texts.push(bytes.toString('latin1', at, at + length));
    at += length;
  }
  return undefined;
}

/** How much the asker can take over UDP. */
export function udpLimit({ edns }: Header): number {
  return Math.min(UDP_BYTES, Math.max(CLASSIC_UDP_BYTES, edns?.udpBytes ?? 0));
}

/**
 * Writes a reply of at most `limit` bytes. Where answers do not fit, as many as do are sent, marked as truncated:
 * resolvers that ask again over TCP get all, and those that cannot (musl before 1.2.4) get some.
 */
export function renderReply(header: Header, reply: Reply, limit: number): Buffer {
  let { answers } = reply;
  let bytes = render(header, reply, answers, false);
  while (bytes.length > limit && answers.length > 0) {
    const each = Math.ceil((bytes.length - HEADER_BYTES - header.question.length) / answers.length);
    answers = answers.slice(0, -Math.max(1, Math.floor((bytes.length - limit) / each)));
    bytes = render(header, reply, answers, true);
  }
  return bytes;
}

function render(header: Header, reply: Reply, answers: readonly Answer[], truncated: boolean): Buffer {
  const own = (reply.authoritative ? AUTHORITATIVE_ANSWER : 0) | (truncated ? TRUNCATED_RESPONSE : 0);
  const packet = encode({
    type: 'response',
    id: header.id,
    flags: (header.opcode << 11) | header.flags | own | RCODE[reply.rcode],
    questions: [],
    answers: [...answers],
    authorities: [...reply.authorities],
    additionals: header.edns === undefined ? [] : [optOf(header.edns)],
  });
  if (header.question.length > 0) packet.writeUInt16BE(1, 4);
  return Buffer.concat([packet.subarray(0, HEADER_BYTES), header.question, packet.subarray(HEADER_BYTES)]);
}

function optOf({ version, dnssecOk }: Edns): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: UDP_BYTES,
    extendedRcode: version === EDNS_VERSION ? 0 : BADVERS_EXTENDED,
    ednsVersion: EDNS_VERSION,
    flags: dnssecOk ? 0x8000 : 0,
    flag_do: dnssecOk,
    options: [],
  };
}
