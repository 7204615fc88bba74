/** What a sandbox is attached to, and how: `network connect`'s flags, and --network of `sandbox create` and `run`. */
import { invalid, WeftError } from '../../core/errors.js';
import type { Attachment } from '../../proto/gen/weft/v1/sandbox.js';
import { parseLabels } from './labels.js';
import { parseAddress, parseMacOption, parseName } from './names.js';

/** As typed. */
export interface ConnectOptions {
  readonly ip?: string;
  readonly ip6?: string;
  readonly mac?: string;
  readonly alias?: readonly string[];
  readonly label?: readonly string[];
}

export interface SandboxNetworkOptions extends ConnectOptions {
  readonly network?: readonly string[];
}

/** Throws WeftError ARGUMENT_INVALID that names the option. */
export function parseAttachment(network: string, { ip, ip6, mac, alias = [], label }: ConnectOptions): Attachment {
  refusePredefined(network);
  return {
    network,
    addresses: [
      ...(ip === undefined ? [] : [parseAddress('--ip', ip, 4)]),
      ...(ip6 === undefined ? [] : [parseAddress('--ip6', ip6, 6)]),
    ],
    mac: mac === undefined ? '' : parseMacOption(mac),
    aliases: alias.map((name) => parseName('--alias', name)),
    labels: parseLabels(label),
  };
}

/** The attachments of a new sandbox. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseAttachments({ network: networks = [], ...connect }: SandboxNetworkOptions): Attachment[] {
  if (networks.length === 0) {
    throw notBuilt(
      'a sandbox without --network belongs on the predefined network bridge, which is not built yet: ' +
        'name a network with --network, or say --network none for nothing but loopback',
    );
  }
  for (const network of networks) {
    if (network.startsWith('container:')) throw notBuilt(`--network ${network} is not built yet`);
    if (network !== 'none') refusePredefined(network);
    if (network === '') throw new WeftError(invalid('--network', 'expected the name or id of a network, or none'));
  }
  const given = Object.keys(connect).filter((flag) => ['ip', 'ip6', 'mac', 'alias', 'label'].includes(flag));
  if (given.length > 0 && (networks.length !== 1 || networks[0] === 'none')) {
    throw new WeftError(
      invalid(
        given.map((flag) => `--${flag}`).join(', '),
        'says how to attach to one network, so give exactly one --network; attach to more with weft network connect',
      ),
    );
  }
  if (networks.includes('none')) {
    if (networks.length === 1) return [];
    throw new WeftError(invalid('--network', 'none stands alone'));
  }
  const twice = networks.find((network, index) => networks.indexOf(network) !== index);
  if (twice !== undefined) throw new WeftError(invalid('--network', `${twice} stands twice`));
  return networks.map((network) => parseAttachment(network, connect));
}

/** The predefined networks are there to be seen; what attaches to them comes later. Throws WeftError OPTION_NOT_BUILT. */
function refusePredefined(network: string): void {
  if (!['bridge', 'host', 'none'].includes(network)) return;
  throw notBuilt(`attaching to ${network} is not built yet; name a network made with weft network create`);
}

function notBuilt(message: string): WeftError {
  return new WeftError({ reason: 'OPTION_NOT_BUILT', message });
}
