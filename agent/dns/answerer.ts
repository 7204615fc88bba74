/** A message in, a message out: what both transports share. */
import type { Logger } from '../../core/daemon/log.js';
import { refuse, runChain, type DnsHandler, type Question, type RcodeName, type Reply } from './handler.js';
import { onlyInternetHandler } from './handlers/only-internet.js';
import { namesHandler } from './handlers/names.js';
import { reverseHandler } from './handlers/reverse.js';
import { parseMessage, renderReply, TCP_BYTES, udpLimit } from './message.js';
import type { Asker, Names } from './view.js';

/** The chain in its order. A further handler is a file in `handlers/` and a line here. */
export function standardChain(): readonly DnsHandler[] {
  return [onlyInternetHandler, reverseHandler, namesHandler()];
}

export interface AnswererOptions {
  readonly chain: readonly DnsHandler[];
  /** The names of this moment. */
  readonly names: () => Names;
  readonly log: Logger;
  /** Told of every reply, for metrics. */
  readonly onReply?: (rcode: RcodeName) => void;
}

/** Answers messages. Has no state of its own. */
export class Answerer {
  constructor(private readonly options: AnswererOptions) {}

  /** The bytes to send back; undefined when there is nothing to say. Never rejects: a handler that throws is SERVFAIL, and logged. */
  async answer(
    bytes: Buffer,
    asker: Asker,
    { transport, signal }: { transport: 'udp' | 'tcp'; signal: AbortSignal },
  ): Promise<Buffer | undefined> {
    const incoming = parseMessage(bytes);
    if (incoming.kind === 'ignored') return undefined;
    const reply = incoming.kind === 'refused' ? incoming.reply : await this.#ask(incoming.question, asker, signal);
    this.options.onReply?.(reply.rcode);
    return renderReply(incoming.header, reply, transport === 'udp' ? udpLimit(incoming.header) : TCP_BYTES);
  }

  async #ask(question: Omit<Question, 'zones'>, asker: Asker, signal: AbortSignal): Promise<Reply> {
    try {
      return await runChain(this.options.chain, { ...question, zones: this.options.names().seenBy(asker) }, signal);
    } catch (error) {
      this.options.log.error({ err: error, name: question.name, type: question.type }, 'a question was not answered');
      return refuse('SERVFAIL');
    }
  }
}
