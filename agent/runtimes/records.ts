/** Records of attachments: made, changed, looked up. Pure. */
import { newEndpointId, type HostId } from '../../core/ids.js';
import type { Endpoint } from '../../core/model.js';
import { nextIfname, type AttachmentRecord, type SandboxRecord } from '../sandbox/record.js';
import type { Known } from '../state/settled.js';
import type { JoinRequest } from './adapter.js';

/** Fields to change; undefined takes one out. */
export type AttachmentChange = {
  readonly [K in 'state' | 'networkId' | 'revision' | 'epoch' | 'incarnation' | 'problem' | 'lost']?:
    AttachmentRecord[K] | undefined;
};

/** The record with the change; a field that is set to undefined is taken out. */
export function changed(attachment: AttachmentRecord, change: AttachmentChange): AttachmentRecord {
  return Object.fromEntries(
    Object.entries({ ...attachment, ...change }).filter(([, value]) => value !== undefined),
  ) as AttachmentRecord;
}

/**
 * Whether something is still to be done for it. What was refused to somebody who asked is over; what a restore took is
 * tried again, because what stands in its way may well go: another host has yet to say that it does not run it.
 */
export function isOpen({ state, problem, lost }: AttachmentRecord): boolean {
  return state === 'removing' || (state === 'wanted' && (problem === undefined || lost !== undefined));
}

/** Whether something is still to be done for the sandbox. */
export function isUnfinished(record: SandboxRecord): boolean {
  return record.state === 'removing' || record.attachments.some(isOpen);
}

/** A join as it is recorded before anything is done. */
export function recordOf(join: JoinRequest, before: readonly AttachmentRecord[], requestId: string): AttachmentRecord {
  return {
    endpointId: newEndpointId(),
    network: join.network,
    ifname: nextIfname(before),
    addresses: [...join.addresses],
    mac: join.mac ?? '',
    aliases: [...join.aliases],
    labels: { ...join.labels },
    state: 'wanted',
    requestId,
  };
}

/** How the cluster came not to have what was there. */
const LOSSES = {
  restored: 'the cluster was restored to a state in which this connection has no place',
  fenced: 'this host was away for too long, and this connection was taken back meanwhile',
} as const;

/**
 * An attachment whose endpoint the cluster does not have any more: to be made again, as it was asked for, under another
 * id. What was not asked for (an address that was chosen) may come out otherwise.
 */
export function recordOfLost(attachment: AttachmentRecord, loss: keyof typeof LOSSES): AttachmentRecord {
  return changed(
    { ...attachment, endpointId: newEndpointId() },
    {
      state: 'wanted',
      networkId: undefined,
      revision: undefined,
      epoch: undefined,
      incarnation: undefined,
      problem: undefined,
      lost: `network ${attachment.network}: ${LOSSES[loss]}; it is being made again, and its address may be another`,
    },
  );
}

/** An endpoint that somebody made for a sandbox of this host. */
export function recordOfWish(
  endpoint: Endpoint,
  before: readonly AttachmentRecord[],
  { epoch, incarnation }: Pick<Known, 'epoch' | 'incarnation'>,
): AttachmentRecord {
  return {
    endpointId: endpoint.id,
    network: endpoint.networkId,
    networkId: endpoint.networkId,
    ifname: nextIfname(before),
    addresses: [...endpoint.addresses],
    mac: endpoint.mac,
    aliases: [...endpoint.aliases],
    labels: { ...endpoint.labels },
    state: 'attached',
    revision: String(endpoint.revision),
    epoch,
    incarnation,
    requestId: endpoint.requestId,
  };
}

/** Endpoints of this host for the sandbox that its record does not have. */
export function wishesFor(record: SandboxRecord, known: Known, hostId: HostId): Endpoint[] {
  const recorded = new Set(record.attachments.map(({ endpointId }) => endpointId));
  return [...known.view.values()].flatMap(({ endpoints }) =>
    [...endpoints.values()].filter(
      (endpoint) =>
        endpoint.hostId === hostId &&
        endpoint.sandbox === record.name &&
        endpoint.state !== 'removing' &&
        !recorded.has(endpoint.id),
    ),
  );
}

/** The attachment to a network: as it was asked for, or as the cluster names it. */
export function findAttachment(
  record: SandboxRecord,
  network: string,
  known: Known | undefined,
): AttachmentRecord | undefined {
  return record.attachments.find(({ network: asked, networkId }) => {
    if (asked === network || networkId === network) return true;
    return networkId !== undefined && known?.view.get(networkId)?.network.name === network;
  });
}
