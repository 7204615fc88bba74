/** Reading the requests for a network. */
import { familyOf } from '../../core/address.js';
import { isUuid, newNetworkId } from '../../core/ids.js';
import type { Labels } from '../../core/model.js';
import { isOptionViolations, objectionToMtu, parseNetworkOptions } from '../../core/network-options.js';
import type { CreateNetworkRequest, UpdateNetworkRequest } from '../../proto/gen/weft/v1/network.js';
import type { CreateNetwork } from '../domain/network.js';
import type { UpdateNetwork } from '../domain/network-update.js';
import { readSubnets } from './validate-subnet.js';
import { Checker, quote } from './validate.js';

/** Networks every host has by itself; nobody makes them. */
export const PREDEFINED_NETWORKS: readonly string[] = ['bridge', 'host', 'none'];

/** Drivers that are known, and not there yet. */
const DRIVERS_NOT_BUILT: readonly string[] = ['bridge', 'macvlan'];

/** The command in a request. Throws WeftError ARGUMENT_INVALID, OPTION_NOT_BUILT. */
export function parseCreateNetwork(request: CreateNetworkRequest): CreateNetwork {
  const check = new Checker();
  const { name, ipv6, internal } = request;
  check.name('name', name);
  if (PREDEFINED_NETWORKS.includes(name.toLowerCase())) {
    check.refuse('name', `${quote(name)} is predefined on every host; choose another name`);
  } else if (isUuid(name)) {
    check.refuse('name', `${quote(name)} looks like an id; choose another name`);
  }
  const id = check.id('id', request.id, newNetworkId);
  readDriver(check, request.driver);
  const subnets = readSubnets(check, request.subnets);
  const labels = check.labels('labels', request.labels);
  const { given: options, mtu } = readOptions(check, request.options);
  const hasIpv6 = ipv6 || subnets.some(({ cidr }) => familyOf(cidr) === 6);
  const objection = mtu === undefined ? undefined : objectionToMtu(mtu, hasIpv6);
  if (objection !== undefined) check.refuse('options["mtu"]', objection);
  check.done();
  return { id, name, driver: 'overlay', subnets, ipv6, internal, mtu, labels, options };
}

/** What a mask may name. */
const CHANGEABLE = ['labels', 'options', 'subnets'] as const;

/** What it may not, and why. */
const IMMUTABLE: ReadonlyMap<string, string> = new Map([
  ['id', 'the id is what a network is known by'],
  ['name', 'running sandboxes resolve names by it; make another network'],
  ['driver', 'sandboxes are attached the way their driver does it; make another network, and connect them to that'],
  ['vni', 'hosts would not hear one another while it changes; it means nothing outside of the cluster'],
  ['internal', 'sandboxes got their routes when they were attached; make another network, and connect them to that'],
  ['mtu', 'it follows from the options: name options, and give mtu=BYTES in them'],
  ...['revision', 'request_id', 'usage', 'create_time'].map((path): [string, string] => [
    path,
    'controllers write it, nobody asks for it',
  ]),
]);

/** What a request for a change asks for; which network, by name or id. Throws WeftError ARGUMENT_INVALID, FIELD_IMMUTABLE, OPTION_NOT_BUILT. */
export function parseUpdateNetwork(request: UpdateNetworkRequest): Omit<UpdateNetwork, 'id'> & {
  readonly reference: string;
} {
  const check = new Checker();
  const reference = check.reference('network', request.network);
  const paths = readMask(check, request.updateMask ?? []);
  const labels = paths.has('labels') ? check.labels('labels', request.labels) : undefined;
  const options = paths.has('options') ? readOptions(check, request.options) : undefined;
  const subnets = paths.has('subnets') ? readSubnets(check, request.subnets) : undefined;
  if (paths.has('subnets') && request.subnets.length === 0)
    check.refuse('subnets', 'a network has at least one subnet');
  const ifRevision = check.revision('if_revision', request.ifRevision);
  check.done();
  return { reference, labels, options, subnets, ifRevision: ifRevision === 0n ? undefined : ifRevision };
}

function readMask(check: Checker, paths: readonly string[]): ReadonlySet<string> {
  const known: readonly string[] = CHANGEABLE;
  if (paths.length === 0) check.refuse('update_mask', `names nothing; it takes ${known.join(', ')}`);
  for (const [index, path] of check.bounded('update_mask.paths', 'paths', paths).entries()) {
    if (known.includes(path)) continue;
    const field = `update_mask.paths[${String(index)}]`;
    const why = IMMUTABLE.get(path);
    if (why === undefined) check.refuse(field, `there is no ${quote(path)} to change; there are ${known.join(', ')}`);
    else check.immutable(field, `${path} cannot change: ${why}`);
  }
  return new Set(paths);
}

function readDriver(check: Checker, driver: string): void {
  if (driver === '' || driver === 'overlay') return;
  if (DRIVERS_NOT_BUILT.includes(driver))
    check.notBuilt('driver', `${quote(driver)} is not built yet; there is overlay`);
  else check.refuse('driver', `there is no driver ${quote(driver)}; there is overlay`);
}

function readOptions(check: Checker, options: Labels): { readonly given: Labels; readonly mtu: number | undefined } {
  const entries = check.bounded('options', 'entries', Object.entries(options));
  const read = parseNetworkOptions(Object.fromEntries(entries));
  if (!isOptionViolations(read)) return { given: options, mtu: read.mtu };
  for (const { field, description, notBuilt } of read) {
    if (notBuilt) check.notBuilt(field, description);
    else check.refuse(field, description);
  }
  return { given: options, mtu: undefined };
}
