/** What an operator does to an etcd under Weft, for tests. */
import { never } from './contract-bench.testing.js';
import { EtcdConnection, type EtcdOptions } from './etcd-connection.js';

/** Equivalent to `etcdctl compact --physical <revision>`. */
export async function compact(options: EtcdOptions, revision: bigint): Promise<void> {
  using connection = new EtcdConnection(options);
  await connection.once((kv, call) => kv.compact({ revision: String(revision), physical: true }, call), never);
}

/** Equivalent to `etcdctl lease revoke <id>`. */
export async function revoke(options: EtcdOptions, id: string): Promise<void> {
  using connection = new EtcdConnection(options);
  await connection.once((_kv, call, { leaseClient }) => leaseClient.leaseRevoke({ ID: id }, call), never);
}
