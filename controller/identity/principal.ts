/** Who is at the other end of a connection, as its certificate says. */
import type { PeerCertificate } from 'node:tls';

/** `admin`: whoever operates the cluster. `host`: an agent. `controller`: a controller. */
export type Role = 'admin' | 'host' | 'controller';

const ROLES: readonly Role[] = ['admin', 'host', 'controller'];

export interface Principal {
  readonly role: Role;
  readonly name: string;
}

/** What a certificate's O says of this role. */
export function organizationOf(role: Role): string {
  return `weft:${role}`;
}

/**
 * Pure. Who this verified certificate names; undefined when it names nobody of ours: no certificate, an unknown role,
 * a part missing or given twice. That the certificate is from our CA, TLS has seen to before.
 */
export function principalOf(certificate: Partial<Pick<PeerCertificate, 'subject'>> | undefined): Principal | undefined {
  const { O: organization, CN: name } = certificate?.subject ?? {};
  const role = ROLES.find((each) => organizationOf(each) === organization);
  return role === undefined || typeof name !== 'string' || name === '' ? undefined : { role, name };
}
