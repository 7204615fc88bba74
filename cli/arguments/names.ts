/** Names and addresses as typed. */
import { familyOf, parseIp, type Family, type IpAddress } from '../../core/address.js';
import { invalid, WeftError } from '../../core/errors.js';
import { isUnicast, parseMac, type Mac } from '../../core/mac.js';
import { isName, NAME_RULE } from '../../core/name.js';

/** Names with a meaning of their own after --network. */
const RESERVED_NETWORKS: readonly string[] = ['bridge', 'host', 'none'];

/** A name for something new. Throws WeftError. */
export function parseName(field: string, text: string): string {
  if (!isName(text)) throw new WeftError(invalid(field, `${JSON.stringify(text)}: ${NAME_RULE}`));
  return text;
}

/** A name for a new network. Throws WeftError. */
export function parseNetworkName(text: string): string {
  if (RESERVED_NETWORKS.includes(text.toLowerCase())) {
    throw new WeftError(invalid('NAME', `${JSON.stringify(text)} is the name of a predefined network; choose another`));
  }
  return parseName('NAME', text);
}

/** The drivers of networks that are built. */
export const DRIVERS: readonly string[] = ['overlay'];
const DRIVERS_NOT_BUILT: readonly string[] = ['bridge', 'macvlan'];

/** Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseDriver(text: string): string {
  if (DRIVERS.includes(text)) return text;
  const there = `there is ${DRIVERS.join(', ')}`;
  if (!DRIVERS_NOT_BUILT.includes(text))
    throw new WeftError(invalid('-d', `no driver is called ${JSON.stringify(text)}; ${there}`));
  throw new WeftError({ reason: 'OPTION_NOT_BUILT', message: `-d ${text} is not built yet; ${there}` });
}

/** Throws WeftError. */
export function parseAddress(field: string, text: string, family?: Family): IpAddress {
  const ip = parseIp(text);
  if (ip === undefined || (family !== undefined && familyOf(ip) !== family)) {
    const kind = family === undefined ? 'IP' : `IPv${String(family)}`;
    throw new WeftError(invalid(field, `${JSON.stringify(text)} is no ${kind} address`));
  }
  return ip;
}

/** Throws WeftError. */
export function parseMacOption(text: string): Mac {
  const mac = parseMac(text);
  if (mac === undefined || !isUnicast(mac)) {
    throw new WeftError(
      invalid('--mac', `${JSON.stringify(text)} is no unicast MAC address, such as 02:1a:2b:3c:4d:5e`),
    );
  }
  return mac;
}
