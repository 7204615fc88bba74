/** Identities: UUIDs, chosen by whoever makes the object, so that a repeated request is recognised. */
import { randomUUID } from 'node:crypto';

export type NetworkId = string & { readonly __brand: 'NetworkId' };
export type EndpointId = string & { readonly __brand: 'EndpointId' };
export type HostId = string & { readonly __brand: 'HostId' };
/** Of one life of a controller. */
export type ControllerId = string & { readonly __brand: 'ControllerId' };

/** Whether `text` is a UUID in its canonical lower-case text. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(text);
}

/** The id in `text`; undefined when it is none. */
export const parseNetworkId = (text: string): NetworkId | undefined => (isUuid(text) ? (text as NetworkId) : undefined);
export const parseEndpointId = (text: string): EndpointId | undefined =>
  isUuid(text) ? (text as EndpointId) : undefined;
export const parseHostId = (text: string): HostId | undefined => (isUuid(text) ? (text as HostId) : undefined);
export const parseControllerId = (text: string): ControllerId | undefined =>
  isUuid(text) ? (text as ControllerId) : undefined;

/** A new random id. */
export const newNetworkId = (): NetworkId => randomUUID() as string as NetworkId;
export const newEndpointId = (): EndpointId => randomUUID() as string as EndpointId;
export const newHostId = (): HostId => randomUUID() as string as HostId;
export const newControllerId = (): ControllerId => randomUUID() as string as ControllerId;
