/** `network create`'s subnets: gateways, ranges and auxiliary addresses go to the subnet that contains them, as with Docker. */
import { contains, networkOf, parseCidr, type Cidr, type IpAddress } from '../../core/address.js';
import { invalid, WeftError } from '../../core/errors.js';
import type { SubnetRequest } from '../../proto/gen/weft/v1/network.js';
import { parseAddress, parseName } from './names.js';

/** As typed, each as often as it was typed. */
export interface SubnetOptions {
  readonly subnet?: readonly string[];
  readonly gateway?: readonly string[];
  readonly ipRange?: readonly string[];
  readonly auxAddress?: readonly string[];
}

/** One request a --subnet, in their order. Throws WeftError ARGUMENT_INVALID that names the option. */
export function parseSubnets({
  subnet = [],
  gateway = [],
  ipRange = [],
  auxAddress = [],
}: SubnetOptions): SubnetRequest[] {
  const requests = subnet.map((text): SubnetRequest & { cidr: Cidr } => ({
    cidr: parseCidrOption('--subnet', text),
    gateway: '',
    ipRange: '',
    auxAddresses: {},
  }));
  const owner = (field: string, inner: IpAddress | Cidr): SubnetRequest => {
    const found = requests.find(({ cidr }) => contains(cidr, inner));
    if (found !== undefined) return found;
    throw new WeftError(
      invalid(field, `${inner} is in none of the subnets${requests.length === 0 ? '; give one with --subnet' : ''}`),
    );
  };
  for (const text of gateway) {
    const ip = parseAddress('--gateway', text);
    const request = owner('--gateway', ip);
    if (request.gateway !== '') throw new WeftError(invalid('--gateway', `${ip} is the second in ${request.cidr}`));
    request.gateway = ip;
  }
  for (const text of ipRange) {
    const range = parseCidrOption('--ip-range', text);
    const request = owner('--ip-range', range);
    if (request.ipRange !== '') throw new WeftError(invalid('--ip-range', `${range} is the second in ${request.cidr}`));
    request.ipRange = range;
  }
  for (const text of auxAddress) {
    const { name, ip } = parseAuxAddress(text);
    const { auxAddresses } = owner('--aux-address', ip);
    if (Object.hasOwn(auxAddresses, name))
      throw new WeftError(invalid('--aux-address', `${name} stands twice in one subnet`));
    auxAddresses[name] = ip;
  }
  return requests;
}

function parseAuxAddress(text: string): { name: string; ip: IpAddress } {
  const at = text.indexOf('=');
  if (at < 1) throw new WeftError(invalid('--aux-address', `${JSON.stringify(text)} is not NAME=IP`));
  return {
    name: parseName('--aux-address', text.slice(0, at)),
    ip: parseAddress('--aux-address', text.slice(at + 1)),
  };
}

function parseCidrOption(field: string, text: string): Cidr {
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
