/** `network create`'s subnets: gateways, ranges and auxiliary addresses go to the subnet that contains them, as with Docker. */
import { contains, networkOf, parseCidr, type Cidr, type IpAddress } from '../../core/address.js';
import { invalid, WeftError } from '../../core/errors.js';
import type { SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { parseAddress, parseName } from './names.js';

/** What belongs to subnets, as typed, each as often as it was typed. */
export interface SubnetPartOptions {
  readonly gateway?: readonly string[];
  readonly ipRange?: readonly string[];
  readonly auxAddress?: readonly string[];
}

/** As typed. */
export interface SubnetOptions extends SubnetPartOptions {
  readonly subnet?: readonly string[];
}

/** A subnet that gets what belongs to it. */
export type SubnetDraft = SubnetRequest & { cidr: Cidr };

/** One request a --subnet, in their order. Throws WeftError ARGUMENT_INVALID that names the option. */
export function parseSubnets({ subnet = [], ...parts }: SubnetOptions): SubnetRequest[] {
  const drafts = subnet.map((text) => newSubnet(parseCidrOption('--subnet', text)));
  assignParts(drafts, parts);
  return drafts;
}

/** A subnet of which nothing but its prefix is said. */
export function newSubnet(cidr: Cidr): SubnetDraft {
  return { cidr, gateway: '', ipRange: '', auxAddresses: {} };
}

/**
 * Gives each part to the draft it lies in, over what the draft had. Throws WeftError ARGUMENT_INVALID for what lies in
 * none of them, and for a second part of a kind.
 */
export function assignParts(
  drafts: readonly SubnetDraft[],
  { gateway = [], ipRange = [], auxAddress = [] }: SubnetPartOptions,
): void {
  const given = new Set<string>();
  const owner = (field: string, inner: IpAddress | Cidr): SubnetDraft => {
    const found = drafts.find(({ cidr }) => contains(cidr, inner));
    if (found !== undefined) return found;
    throw new WeftError(
      invalid(field, `${inner} is in none of the subnets${drafts.length === 0 ? '; give one with --subnet' : ''}`),
    );
  };
  const once = (field: string, { cidr }: SubnetDraft, refusal: string, name = ''): void => {
    const key = [field, cidr, name].join(' ');
    if (given.has(key)) throw new WeftError(invalid(field, refusal));
    given.add(key);
  };
  for (const text of gateway) {
    const ip = parseAddress('--gateway', text);
    const draft = owner('--gateway', ip);
    once('--gateway', draft, `${ip} is the second in ${draft.cidr}`);
    draft.gateway = ip;
  }
  for (const text of ipRange) {
    const range = parseCidrOption('--ip-range', text);
    const draft = owner('--ip-range', range);
    once('--ip-range', draft, `${range} is the second in ${draft.cidr}`);
    draft.ipRange = range;
  }
  for (const text of auxAddress) {
    const { name, ip } = parseAuxAddress(text);
    const draft = owner('--aux-address', ip);
    once('--aux-address', draft, `${name} stands twice in one subnet`, name);
    draft.auxAddresses[name] = ip;
  }
}

function parseAuxAddress(text: string): { name: string; ip: IpAddress } {
  const at = text.indexOf('=');
  if (at < 1) throw new WeftError(invalid('--aux-address', `${JSON.stringify(text)} is not NAME=IP`));
  return {
    name: parseName('--aux-address', text.slice(0, at)),
    ip: parseAddress('--aux-address', text.slice(at + 1)),
  };
}

/** Throws WeftError ARGUMENT_INVALID. */
export function parseCidrOption(field: string, text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr !== undefined) return cidr;
  const meant = networkOf(text);
  throw new WeftError(
    invalid(
      field,
      meant === undefined
        ? `${JSON.stringify(text)} is no subnet, such as 10.1.0.0/24`
        : `${JSON.stringify(text)} has bits of a host set; the subnet is ${meant}`,
    ),
  );
}
