/** `network update`: from what was typed and what the network is to what it shall be. Pure. */
import { contains, overlaps, parseCidr, type Cidr } from '../../core/address.js';
import { invalid, WeftError } from '../../core/errors.js';
import type { Network, Subnet, UpdateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import { parseDriverOptions, parseLabels } from '../arguments/labels.js';
import {
  assignParts,
  newSubnet,
  parseCidrOption,
  type SubnetDraft,
  type SubnetPartOptions,
} from '../arguments/subnets.js';

/** As typed. */
export interface ChangeOptions extends SubnetPartOptions {
  readonly label?: readonly string[];
  readonly labelRm?: readonly string[];
  readonly opt?: readonly string[];
  readonly optionRm?: readonly string[];
  readonly addSubnet?: readonly string[];
  readonly grow?: readonly string[];
  readonly shrink?: readonly string[];
  readonly rmSubnet?: readonly string[];
  readonly auxAddressRm?: readonly string[];
}

/** Options that say what a network is for life, and why they cannot be changed. Hidden in help: they only ever refuse. */
export const IMMUTABLE: readonly (readonly [flags: string, why: string])[] = [
  ['-d, --driver <driver>', 'hosts have joined the network by its driver'],
  ['--internal', 'its sandboxes got their routes by it when they were attached'],
  ['--name <name>', 'its sandboxes answer to NAME.NETWORK, and programs have that in their configuration'],
  ['--vni <vni>', 'hosts tell networks apart by it on the wire, and a packet under way has the old one'],
];

/** Options of `network create` that mean something else here. */
export const ELSEWHERE: readonly (readonly [flags: string, instead: string])[] = [
  ['--subnet <cidr>', 'say --add-subnet, --grow, --shrink or --rm-subnet: which of them is meant cannot be guessed'],
  ['--ipv6', 'say --add-subnet with the IPv6 subnet to add'],
];

/** The error of an option in IMMUTABLE. */
export function immutable(flags: string, why: string): WeftError {
  const field = longFlag(flags);
  const description = `cannot change in the life of a network: ${why}; make another network`;
  return new WeftError({
    reason: 'FIELD_IMMUTABLE',
    message: `${field}: ${description}`,
    violations: [{ field, description }],
  });
}

/** `--driver` of `-d, --driver <driver>`. */
export function longFlag(flags: string): string {
  return /--[a-z0-9-]+/.exec(flags)?.[0] ?? flags;
}

export interface NetworkChange {
  /** All of the request but which network, at which revision. */
  readonly values: Pick<UpdateNetworkRequest, 'updateMask' | 'labels' | 'options' | 'subnets'>;
  /** Of each subnet in `values`: the option that its prefix comes from, where one was typed for it. */
  readonly typed: readonly (string | undefined)[];
}

/** Of each part of a subnet: the option that changes it, and what to do where a changed prefix leaves no room for it. */
const PARTS = [
  { field: 'gateway', option: 'gateway', instead: 'name another with --gateway' },
  { field: 'ip_range', option: 'ipRange', instead: 'name another with --ip-range' },
  { field: 'aux_addresses', option: 'auxAddress', instead: 'give it up with --aux-address-rm NAME' },
] as const;

/**
 * A refused field of the request under the option that was typed for it: a prefix's, and that of a part that nobody
 * mentioned, which is refused because of the prefix. `instead` is what else would do. Undefined: it has its usual name.
 */
export function typedFor(
  field: string,
  { typed }: NetworkChange,
  options: ChangeOptions,
): { readonly field: string; readonly instead?: string } | undefined {
  const [, index, part = ''] = /^subnets\[(\d+)\]\.([a-z_]+)/.exec(field) ?? [];
  const option = index === undefined ? undefined : typed[Number(index)];
  if (option === undefined) return undefined;
  if (part === 'cidr') return { field: option };
  const found = PARTS.find((each) => each.field === part);
  return found === undefined || (options[found.option]?.length ?? 0) > 0
    ? undefined
    : { field: option, instead: found.instead };
}

/** Whether anything was typed that changes something. */
export function changesAnything(options: ChangeOptions): boolean {
  return maskOf(options).length > 0;
}

/** Throws WeftError ARGUMENT_INVALID or OPTION_NOT_BUILT for what no network could take. */
export function checkChanges(options: ChangeOptions): void {
  refuseBoth('--label-rm', parseLabels(options.label), options.labelRm);
  refuseBoth('--option-rm', parseDriverOptions(options.opt), options.optionRm);
  for (const [field, texts] of subnetOptions(options)) for (const text of texts) parseCidrOption(field, text);
}

/** One key cannot both be put and taken away: whichever was meant, the other is a mistake. */
function refuseBoth(field: string, put: Readonly<Record<string, string>>, drop: readonly string[] = []): void {
  const both = drop.find((key) => Object.hasOwn(put, key));
  if (both === undefined) return;
  const set = field === '--label-rm' ? '--label' : '-o';
  throw new WeftError(invalid(field, `${JSON.stringify(both)} is set by ${set} in the same line; say one of them`));
}

/** What `network` shall be. Throws WeftError ARGUMENT_INVALID for what does not fit what the network is. */
export function changeNetwork(network: Network, options: ChangeOptions): NetworkChange {
  const updateMask = maskOf(options);
  const without = (
    present: Readonly<Record<string, string>>,
    { field, what, drop = [] }: { field: string; what: string; drop: readonly string[] | undefined },
  ): Record<string, string> => {
    // Mistyped more often than removed already; the same holds for --aux-address-rm and --rm-subnet.
    const missing = drop.find((key) => !Object.hasOwn(present, key));
    if (missing !== undefined) {
      const has = Object.keys(present).length === 0 ? 'none' : Object.keys(present).sort().join(', ');
      const why = `there is no ${what} ${JSON.stringify(missing)} to remove (network ${network.name} has ${has})`;
      throw new WeftError(invalid(field, why));
    }
    return Object.fromEntries(Object.entries(present).filter(([key]) => !drop.includes(key)));
  };
  const labels = without(network.labels, { field: '--label-rm', what: 'label', drop: options.labelRm });
  const driverOptions = without(network.options, { field: '--option-rm', what: 'option', drop: options.optionRm });
  const { subnets, typed } = updateMask.includes('subnets')
    ? changeSubnets(network, options)
    : { subnets: [], typed: [] };
  return {
    values: {
      updateMask,
      labels: updateMask.includes('labels') ? { ...labels, ...parseLabels(options.label) } : {},
      options: updateMask.includes('options') ? { ...driverOptions, ...parseDriverOptions(options.opt) } : {},
      subnets,
    },
    typed,
  };
}

function maskOf(options: ChangeOptions): string[] {
  const masks: readonly (readonly [mask: string, typed: readonly (readonly string[] | undefined)[]])[] = [
    ['labels', [options.label, options.labelRm]],
    ['options', [options.opt, options.optionRm]],
    [
      'subnets',
      [
        ...subnetOptions(options).map(([, texts]) => texts),
        ...[options.gateway, options.ipRange, options.auxAddress, options.auxAddressRm],
      ],
    ],
  ];
  return masks.filter(([, typed]) => typed.some((texts = []) => texts.length > 0)).map(([mask]) => mask);
}

function subnetOptions({ rmSubnet = [], grow = [], shrink = [], addSubnet = [] }: ChangeOptions) {
  return [
    ['--rm-subnet', rmSubnet],
    ['--grow', grow],
    ['--shrink', shrink],
    ['--add-subnet', addSubnet],
  ] as const;
}

/** A subnet on its way from what it is to what it shall be. */
interface Changing {
  readonly draft: SubnetDraft;
  typed: string | undefined;
}

function changeSubnets(
  network: Network,
  options: ChangeOptions,
): { readonly subnets: SubnetDraft[]; readonly typed: readonly (string | undefined)[] } {
  let all: Changing[] = network.subnets.map((subnet) => ({ draft: draftOf(subnet), typed: undefined }));
  const refuse = (field: string, what: string): WeftError => {
    const present = network.subnets.map(({ cidr }) => cidr).join(', ');
    return new WeftError(invalid(field, `${what} (network ${network.name} has ${present})`));
  };
  for (const [field, texts] of subnetOptions(options)) {
    for (const text of texts) {
      const cidr = parseCidrOption(field, text);
      const same = all.find(({ draft }) => draft.cidr === cidr);
      if (field === '--rm-subnet') {
        if (same === undefined) throw refuse(field, `there is no subnet ${cidr} to remove`);
        all = all.filter((each) => each !== same);
      } else if (field === '--add-subnet') {
        const near = all.find(({ draft }) => overlaps(draft.cidr, cidr));
        if (same === undefined && near !== undefined) {
          throw refuse(field, `${cidr} overlaps ${near.draft.cidr}; to change that one, say --grow or --shrink`);
        }
        if (same === undefined) all.push({ draft: newSubnet(cidr), typed: field });
      } else if (same === undefined) {
        const resized = theOneToResize(all, cidr, { field, refuse });
        resized.draft.cidr = cidr;
        resized.typed = field;
      }
    }
  }
  const subnets = all.map(({ draft }) => draft);
  for (const name of options.auxAddressRm ?? []) {
    const keeping = subnets.filter(({ auxAddresses }) => Object.hasOwn(auxAddresses, name));
    if (keeping.length === 0)
      throw refuse('--aux-address-rm', `no subnet keeps an address for ${JSON.stringify(name)}`);
    for (const draft of keeping) {
      draft.auxAddresses = Object.fromEntries(Object.entries(draft.auxAddresses).filter(([key]) => key !== name));
    }
  }
  assignParts(subnets, options);
  return { subnets, typed: all.map(({ typed }) => typed) };
}

function theOneToResize(
  all: readonly Changing[],
  cidr: Cidr,
  { field, refuse }: { readonly field: string; readonly refuse: (field: string, what: string) => WeftError },
): Changing {
  const growing = field === '--grow';
  const [found, ...others] = all.filter(({ draft }) =>
    growing ? contains(cidr, draft.cidr) : contains(draft.cidr, cidr),
  );
  if (found !== undefined && others.length === 0) return found;
  if (found !== undefined) {
    const names = [found, ...others].map(({ draft }) => draft.cidr).join(' and ');
    throw refuse(field, `${cidr} would make one subnet of ${names}; grow one of them into space that is free`);
  }
  const other = all.find(({ draft }) => overlaps(draft.cidr, cidr));
  if (other === undefined) {
    throw refuse(field, `no subnet lies ${growing ? 'in' : 'around'} ${cidr}; to add it, say --add-subnet`);
  }
  throw refuse(
    field,
    `${other.draft.cidr} is ${growing ? 'larger' : 'smaller'} already; say ${growing ? '--shrink' : '--grow'}`,
  );
}

function draftOf({ cidr: text, gateway, ipRange, auxAddresses }: Subnet): SubnetDraft {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`the controller says ${JSON.stringify(text)} is a subnet`);
  return { cidr, gateway, ipRange, auxAddresses: { ...auxAddresses } };
}
