/** Something about the embedded etcd that a person has to put right; the message says what. */
export class EmbeddedEtcdError extends Error {
  override readonly name = 'EmbeddedEtcdError';
}
