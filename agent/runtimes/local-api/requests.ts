/** Requests of the socket, checked field by field: what comes out is valid, or a refusal that names every bad field. */
import { familyOf, parseIp, type Family, type IpAddress } from '../../../core/address.js';
import { invalidFields, WeftError, type Violation } from '../../../core/errors.js';
import { isUuid } from '../../../core/ids.js';
import { isUnicast, parseMac, type Mac } from '../../../core/mac.js';
import { ROUTER_MAC_PREFIX } from '../../../core/model.js';
import { isName, NAME_RULE, nameKey } from '../../../core/name.js';
import type { Attachment } from '../../../proto/gen/weft/v1/sandbox.js';
import type { JoinRequest } from '../adapter.js';

/** Collects what is wrong with a request. */
export class Checks {
  readonly #violations: Violation[] = [];

  fail(field: string, description: string): void {
    this.#violations.push({ field, description });
  }

  /** Throws WeftError ARGUMENT_INVALID when anything was wrong. */
  done(): void {
    if (this.#violations.length > 0) throw new WeftError(invalidFields(this.#violations));
  }

  /** A sandbox's name. */
  name(field: string, text: string): string {
    if (!isName(text)) this.fail(field, text === '' ? 'is required' : `${JSON.stringify(text)}: ${NAME_RULE}`);
    return text;
  }

  /** A network by name or id. */
  network(field: string, text: string): string {
    if (text === '') this.fail(field, 'is required: a name or an id');
    else if (!isName(text) && !isUuid(text)) this.fail(field, `${JSON.stringify(text)} is neither a name nor an id`);
    return text;
  }

  /** An attachment; `field` is its path. */
  join(field: string, attachment: Attachment | undefined): JoinRequest {
    if (attachment === undefined) this.fail(field, 'is required');
    const { network = '', addresses = [], mac = '', aliases = [], labels = {} } = attachment ?? {};
    if (attachment !== undefined) this.network(`${field}.network`, network);
    aliases.forEach((alias, at) => this.name(`${field}.aliases[${String(at)}]`, alias));
    for (const key of Object.keys(labels)) if (key === '') this.fail(`${field}.labels`, 'a label has a name');
    return {
      network,
      addresses: this.#addresses(`${field}.addresses`, addresses),
      mac: this.#mac(`${field}.mac`, mac),
      aliases,
      labels,
    };
  }

  /** Attachments to different networks. */
  joins(field: string, attachments: readonly Attachment[]): JoinRequest[] {
    const joins = attachments.map((attachment, at) => this.join(`${field}[${String(at)}]`, attachment));
    const seen = new Set<string>();
    joins.forEach(({ network }, at) => {
      if (seen.has(nameKey(network))) this.fail(`${field}[${String(at)}].network`, `${network} is named twice`);
      seen.add(nameKey(network));
    });
    return joins;
  }

  #addresses(field: string, texts: readonly string[]): IpAddress[] {
    const families = new Set<Family>();
    return texts.flatMap((text, at) => {
      const path = `${field}[${String(at)}]`;
      const ip = parseIp(text);
      if (ip === undefined) {
        this.fail(path, `${JSON.stringify(text)} is no IP address`);
        return [];
      }
      if (families.has(familyOf(ip))) this.fail(path, `only one IPv${String(familyOf(ip))} address can be asked for`);
      families.add(familyOf(ip));
      return [ip];
    });
  }

  #mac(field: string, text: string): Mac | undefined {
    if (text === '') return undefined;
    const mac = parseMac(text);
    if (mac === undefined) this.fail(field, `${JSON.stringify(text)} is no MAC; write it as 02:00:00:00:00:01`);
    else if (!isUnicast(mac)) this.fail(field, `${mac} is a multicast or an empty MAC`);
    else if (mac.startsWith(ROUTER_MAC_PREFIX)) this.fail(field, `${mac} is kept for hosts (${ROUTER_MAC_PREFIX}...)`);
    return mac;
  }
}
