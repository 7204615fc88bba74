/** What Weft's namespaces, and its links in them, are called: recognisable as Weft's, and no two alike. */
import type { EndpointId, NetworkId } from '../../core/ids.js';

/** Namespaces of networks. */
export const NETWORK_PREFIX = 'weft-n-';
/** Namespaces of sandboxes. */
export const SANDBOX_PREFIX = 'weft-s-';
/** A network's bridge, in its namespace. */
export const BRIDGE = 'weft0';
/** A network's VXLAN device, in its namespace. */
export const VXLAN = 'vxlan0';

/** The namespace of a network on this host. */
export function networkNamespace(id: NetworkId): string {
  return `${NETWORK_PREFIX}${id.replaceAll('-', '').slice(0, 12)}`;
}

/** The namespace of a sandbox. */
export function sandboxNamespace(name: string): string {
  return `${SANDBOX_PREFIX}${name}`;
}

/** The bridge port of an endpoint's veth pair: 14 of the 15 characters a link may have. */
export function portName(id: EndpointId): string {
  return `p-${id.replaceAll('-', '').slice(0, 12)}`;
}
