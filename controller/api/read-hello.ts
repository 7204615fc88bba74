/** Reading what an agent says of its host. */
import { parseCidr, prefixLengthOf, type Cidr } from '../../core/address.js';
import { DIGEST_BYTES, DIGEST_FORMAT, DIGEST_LIMITS } from '../../core/digest.js';
import { isUuid, parseHostId, parseNetworkId, type NetworkId } from '../../core/ids.js';
import { isName } from '../../core/name.js';
import { objectionToRange } from '../../core/special-range.js';
import type { Hello, HostPrefixes, NetworkDigest as NetworkDigestMessage } from '../../proto/gen/weft/v1/agent_sync.js';
import type { RegisterHost } from '../domain/host.js';
import type { NetworkDigest, Resume } from '../fanout/resume.js';
import type { Principal } from '../identity/principal.js';
import { Checker, quote } from './validate.js';

/** Where a host's own routes lead: more than these it is not asked to say. */
const PREFIXES = 256;

/** Who opens a stream, and from where. Throws WeftError ARGUMENT_INVALID. */
export function readHello(hello: Hello, { name }: Principal): RegisterHost {
  const check = new Checker();
  const id = parseHostId(hello.hostId);
  if (id === undefined) check.refuse('hello.host_id', `${quote(hello.hostId)} is no UUID in lower case`);
  const vtep = check.ip('hello.vtep', hello.vtep);
  const objection = vtep === undefined ? undefined : objectionToRange(vtep);
  if (objection !== undefined) check.refuse('hello.vtep', `tunnel address ${hello.vtep} ${objection}`);
  if (!isName(name)) check.refuse('certificate', `${quote(name)} cannot be a host's name`);
  if (!/^[\x21-\x7e]{0,64}$/.test(hello.version))
    check.refuse('hello.version', `${quote(hello.version)} is no version`);
  for (const [field, text] of [
    ['hello.cluster_id', hello.clusterId],
    ['hello.epoch', hello.epoch],
  ] as const) {
    if (text !== '' && !isUuid(text)) check.refuse(field, `${quote(text)} is no UUID in lower case`);
  }
  const prefixes = hello.prefixes === undefined ? undefined : readPrefixes(check, 'hello.prefixes', hello.prefixes);
  check.done();
  if (id === undefined || vtep === undefined) throw new RangeError('a checked hello has both');
  return { id, name, vtep, version: hello.version, prefixes };
}

/**
 * What a host has of the epoch `meta` is in, which it need not be told again; undefined: it has nothing that could be
 * believed. Throws WeftError ARGUMENT_INVALID. A host that says what is not true harms itself alone.
 */
export function readResume(
  { clusterId, epoch, resume }: Hello,
  meta: { readonly clusterId: string; readonly epoch: string },
): Resume | undefined {
  if (resume === undefined) return undefined;
  const check = new Checker();
  const read = readDigests(check, resume.networks);
  check.done();
  const isBelieved = clusterId === meta.clusterId && epoch === meta.epoch && resume.format === DIGEST_FORMAT;
  return isBelieved ? read : undefined;
}

function readDigests(check: Checker, networks: readonly NetworkDigestMessage[]): Resume {
  const read = new Map<NetworkId, NetworkDigest>();
  if (networks.length > DIGEST_LIMITS.networks) {
    const most = `at most ${String(DIGEST_LIMITS.networks)}`;
    check.refuse('hello.resume.networks', `${String(networks.length)} are too many: ${most}`);
    return read;
  }
  let buckets = 0;
  for (const [index, { networkId, revision, digests }] of networks.entries()) {
    const field = `hello.resume.networks[${String(index)}]`;
    const id = parseNetworkId(networkId);
    const count = digests.length / DIGEST_BYTES;
    buckets += count;
    if (id === undefined) check.refuse(`${field}.network_id`, `${quote(networkId)} is no UUID in lower case`);
    else if (read.has(id)) check.refuse(`${field}.network_id`, `${id} is there twice`);
    else if (!Number.isInteger(count) || count === 0 || (count & (count - 1)) !== 0)
      check.refuse(`${field}.digests`, `${String(digests.length)} bytes are no power of two of digests`);
    else read.set(id, { revision, digests });
  }
  if (buckets > DIGEST_LIMITS.buckets) {
    const most = `at most ${String(DIGEST_LIMITS.buckets)}`;
    check.refuse('hello.resume.networks', `they have ${String(buckets)} buckets, too many: ${most}`);
  }
  return read;
}

/** Sorted, and each once. Those in which no network could have its subnet are of no interest. */
export function readPrefixes(check: Checker, field: string, { cidrs }: HostPrefixes): readonly Cidr[] {
  if (cidrs.length > PREFIXES) {
    check.refuse(`${field}.cidrs`, `${String(cidrs.length)} are too many: at most ${String(PREFIXES)}`);
    return [];
  }
  const read = cidrs.flatMap((text, index) => {
    const cidr = parseCidr(text);
    if (cidr === undefined) check.refuse(`${field}.cidrs[${String(index)}]`, `${quote(text)} is no subnet`);
    return cidr === undefined || prefixLengthOf(cidr) === 0 || objectionToRange(cidr) !== undefined ? [] : [cidr];
  });
  return [...new Set(read)].sort();
}
