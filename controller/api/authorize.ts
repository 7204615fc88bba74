/** Who may call what. A host's own endpoints and its own stream are narrowed further where they are served. */
import { WeftError } from '../../core/errors.js';
import type { Principal, Role } from '../identity/principal.js';

const OPERATORS: readonly Role[] = ['admin'];
const HOSTS: readonly Role[] = ['host'];
const BOTH: readonly Role[] = ['admin', 'host'];
const CONTROLLERS: readonly Role[] = ['controller'];

/** Every method, and the roles that may call it. */
export const PERMISSIONS = {
  'NetworkService/Create': OPERATORS,
  'NetworkService/Get': BOTH,
  'NetworkService/List': BOTH,
  'NetworkService/Update': OPERATORS,
  'NetworkService/Delete': OPERATORS,
  'EndpointService/Create': BOTH,
  'EndpointService/BatchCreate': BOTH,
  'EndpointService/Get': BOTH,
  'EndpointService/List': BOTH,
  'EndpointService/ListAddressHistory': OPERATORS,
  'EndpointService/Delete': BOTH,
  'HostService/Get': BOTH,
  'HostService/List': BOTH,
  'HostService/Drain': OPERATORS,
  'HostService/Activate': OPERATORS,
  'HostService/Delete': OPERATORS,
  'ClusterService/GetStatus': BOTH,
  'ClusterService/Wait': BOTH,
  'ClusterService/Backup': OPERATORS,
  'ClusterService/Restore': OPERATORS,
  'WatchService/Watch': OPERATORS,
  'AgentSyncService/Sync': HOSTS,
  'PeerService/Sessions': CONTROLLERS,
} as const satisfies Record<string, readonly Role[]>;

export type Method = keyof typeof PERMISSIONS;

/** Throws WeftError NOT_IDENTIFIED for a certificate that names nobody, NOT_ALLOWED for the wrong role. */
export function authorize(method: Method, principal: Principal | undefined): Principal {
  if (principal === undefined) {
    throw new WeftError({
      reason: 'NOT_IDENTIFIED',
      message: 'the certificate names no role and name of Weft; get one with weft-controller issue',
    });
  }
  const allowed: readonly Role[] = PERMISSIONS[method];
  if (!allowed.includes(principal.role)) {
    throw new WeftError({
      reason: 'NOT_ALLOWED',
      message: `${describePrincipal(principal)} may not call ${method}; it is for ${allowed.join(' and ')}`,
    });
  }
  return principal;
}

/** `host "h1"`, fit for messages and logs. */
export function describePrincipal({ role, name }: Principal): string {
  return `${role} ${JSON.stringify(name)}`;
}
