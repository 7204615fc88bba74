/** First of the chain: everything behind it need only think of the Internet class. */
import { refuse, type DnsHandler } from '../handler.js';

/** Refuses other classes, CHAOS above all, in which `version.bind` is asked for. Class ANY counts as the Internet's. */
export const onlyInternetHandler: DnsHandler = {
  name: 'only-internet',
  answer: (question) => (question.class === 'IN' || question.class === 'ANY' ? undefined : refuse('REFUSED')),
};
