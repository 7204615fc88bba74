/**
 * Reading requests: whatever comes out of here is valid, and everything that is wrong with a request is said in one
 * answer, each thing with the path of its field. Texts of others are quoted in messages, so control characters in
 * them reach neither a terminal nor a log.
 */
import { networkOf, parseCidr, parseIp, type Cidr, type IpAddress } from '../../core/address.js';
import { WeftError, invalidFields, type Reason, type Violation } from '../../core/errors.js';
import { isUuid } from '../../core/ids.js';
import { isUnicast, parseMac, type Mac } from '../../core/mac.js';
import { ROUTER_MAC_PREFIX, type Labels } from '../../core/model.js';
import { NAME_RULE, isName } from '../../core/name.js';

/** Most labels, options, aliases, auxiliary addresses or subnets of one thing. */
const ENTRIES_MAX = 64;

const KEY_MAX = 128;
const VALUE_MAX = 1_024;

/** Most bytes of all labels of one thing: every host on a network gets those of all its endpoints. */
const LABELS_BYTES = 16_384;

/** What is wrong with a request, gathered while it is read. */
export class Checker {
  readonly #violations: Violation[] = [];
  #reason: Reason = 'ARGUMENT_INVALID';

  /** Notes what is wrong with a field. */
  refuse(field: string, description: string): void {
    this.#violations.push({ field, description });
  }

  /** Notes a field that asks for what this Weft cannot do yet. */
  notBuilt(field: string, description: string): void {
    this.#reason = 'OPTION_NOT_BUILT';
    this.refuse(field, description);
  }

  /** Notes a field that stays as it is for as long as the thing is there. */
  immutable(field: string, description: string): void {
    this.#reason = 'FIELD_IMMUTABLE';
    this.refuse(field, description);
  }

  /** Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT or FIELD_IMMUTABLE with everything noted so far. */
  done(): void {
    if (this.#violations.length > 0) throw new WeftError(invalidFields(this.#violations, this.#reason));
  }

  name(field: string, text: string): string {
    if (!isName(text)) this.refuse(field, `${quote(text)} is no name: ${NAME_RULE}`);
    return text;
  }

  /** A name or an id, to look something up by. */
  reference(field: string, text: string): string {
    if (text === '') this.refuse(field, 'name or id is missing');
    else if (!isName(text)) this.refuse(field, `${quote(text)} is neither a name nor an id: ${NAME_RULE}`);
    return text;
  }

  /** An id chosen by the client; one is made where it is empty. */
  id<Id extends string>(field: string, text: string, make: () => Id): Id {
    if (text === '') return make();
    if (!isUuid(text)) this.refuse(field, `${quote(text)} is no UUID in lower case`);
    return text as Id;
  }

  cidr(field: string, text: string): Cidr | undefined {
    const cidr = parseCidr(text);
    if (cidr !== undefined) return cidr;
    const meant = networkOf(text);
    this.refuse(
      field,
      meant === undefined
        ? `${quote(text)} is no subnet: expected an address and a prefix length, as in 10.1.0.0/24`
        : `${quote(text)} has host bits set; did you mean ${meant}?`,
    );
    return undefined;
  }

  ip(field: string, text: string): IpAddress | undefined {
    const address = parseIp(text);
    if (address === undefined) this.refuse(field, `${quote(text)} is no IP address`);
    return address;
  }

  mac(field: string, text: string): Mac | undefined {
    const mac = parseMac(text);
    const objection = mac === undefined ? 'is no MAC address, as in 02:42:ac:11:00:02' : objectionToMac(mac);
    if (objection !== undefined) this.refuse(field, `${quote(text)} ${objection}`);
    return mac;
  }

  /** What is looked at of a list or map: a longer one is refused, and must not cost more than its length. */
  bounded<T>(field: string, what: string, items: readonly T[]): readonly T[] {
    if (items.length <= ENTRIES_MAX) return items;
    this.refuse(field, `${String(items.length)} ${what}, and at most ${String(ENTRIES_MAX)} are taken`);
    return items.slice(0, ENTRIES_MAX);
  }

  labels(field: string, labels: Record<string, string>): Labels {
    let bytes = 0;
    for (const [key, value] of this.bounded(field, 'entries', Object.entries(labels))) {
      bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
      const at = `${field}[${quote(key.slice(0, KEY_MAX))}]`;
      if (key === '' || key.length > KEY_MAX || /[\p{Cc}\s=]/u.test(key)) {
        this.refuse(at, `a key has 1 to ${String(KEY_MAX)} characters, none of them a space or =`);
      }
      if (value.length > VALUE_MAX) this.refuse(at, `a value has at most ${String(VALUE_MAX)} characters`);
      if (/\p{Cc}/u.test(value)) this.refuse(at, 'a value has no control characters');
    }
    if (bytes > LABELS_BYTES) {
      this.refuse(field, `${String(bytes)} bytes of keys and values, and at most ${String(LABELS_BYTES)} are taken`);
    }
    return labels;
  }

  revision(field: string, revision: bigint): bigint {
    if (revision < 0n) this.refuse(field, `${String(revision)} is no revision`);
    return revision;
  }
}

/** Text of others, so that nothing in it can do more than be read. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}

/** Why no endpoint can have this MAC. */
function objectionToMac(mac: Mac): string | undefined {
  if (!isUnicast(mac)) return "cannot be an interface's: it is multicast or zero";
  return mac.startsWith(ROUTER_MAC_PREFIX) ? `is kept for gateways, like all of ${ROUTER_MAC_PREFIX}*` : undefined;
}
