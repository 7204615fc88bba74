/** The seam of the answerer: an ordered chain of small handlers, each of which answers or passes on. */
import type { Answer } from 'dns-packet';
import type { Zone } from './view.js';

/** Seconds an absence may be kept: not at all, so that a name that comes up is found by whoever was waiting for it. */
export const ABSENCE_TTL_S = 0;

/** Response codes (RFC 1035, section 4.1.1). */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type RcodeName = keyof typeof RCODE;

/** One question and who asks it. */
export interface Question {
  /** The name as asked, for the owner of answers: askers may check that its case comes back. */
  readonly name: string;
  /** The name's labels as `nameKey`s, most specific first; none is the root. */
  readonly labels: readonly string[];
  /** `A`, `AAAA`, ...; `UNKNOWN_65` where the codec knows no name. */
  readonly type: string;
  readonly class: string;
  /** What this asker sees, the network it asked first. */
  readonly zones: readonly Zone[];
}

export interface Reply {
  readonly rcode: RcodeName;
  /** Whether it is answered from Weft's own names. */
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  /** The SOA of an absence. */
  readonly authorities: readonly Answer[];
}

/** A link of the chain. May be asynchronous: one that asks elsewhere has to wait. */
export interface DnsHandler {
  readonly name: string;
  /** The reply, or undefined to pass on to the next. */
  answer(question: Question, signal: AbortSignal): Reply | undefined | Promise<Reply | undefined>;
}

/** A reply without records that claims nothing. */
export function refuse(rcode: RcodeName): Reply {
  return { rcode, authoritative: false, answers: [], authorities: [] };
}

/** Asks each handler in order. A question that all pass on is REFUSED: not ours to answer, ask another server. */
export async function runChain(
  handlers: readonly DnsHandler[],
  question: Question,
  signal: AbortSignal,
): Promise<Reply> {
  for (const handler of handlers) {
    const reply = await handler.answer(question, signal);
    if (reply !== undefined) return reply;
  }
  return refuse('REFUSED');
}
