/** Reading a prefix of etcd as barely as node can: one call, the answer's bytes as they come, nothing decoded. */
import { readFile } from 'node:fs/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';

/** An etcd, and the PEM files of what to believe and who we are. */
export interface EtcdFiles {
  /** HOST:PORT. */
  readonly address: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** etcd's RangeResponse for everything under `prefix`, undecoded. Equivalent to `etcdctl get --prefix`. */
export async function bareRange({ address, ca, cert, key }: EtcdFiles, prefix: string): Promise<Buffer> {
  const [root, privateKey, chain] = await Promise.all([readFile(ca), readFile(key), readFile(cert)]);
  const client = new Client(address, credentials.createSsl(root, privateKey, chain), {
    'grpc.max_receive_message_length': -1,
    'grpc.ssl_target_name_override': 'localhost',
  });
  const asTheyAre = (bytes: Buffer): Buffer => bytes;
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest('/etcdserverpb.KV/Range', asTheyAre, asTheyAre, rangeRequest(prefix), (error, answer) => {
        if (error !== null) reject(error);
        else resolve(answer ?? Buffer.alloc(0));
      });
    });
  } finally {
    client.close();
  }
}

/** Fields 1 and 2 of etcd's RangeRequest: the first key, and the first after those wanted. */
function rangeRequest(prefix: string): Buffer {
  const first = Buffer.from(prefix);
  const end = Buffer.from(first);
  end[end.length - 1] = (end.at(-1) ?? 0) + 1;
  return Buffer.from(new BinaryWriter().uint32(10).bytes(first).uint32(18).bytes(end).finish());
}

/** Bytes of the keys and values in a RangeResponse, without what etcd adds to each. */
export function payloadOf(answer: Buffer): number {
  let bytes = 0;
  for (const pair of fieldsOf(answer, 2)) {
    for (const key of fieldsOf(pair, 1)) bytes += key.length;
    for (const value of fieldsOf(pair, 5)) bytes += value.length;
  }
  return bytes;
}

function* fieldsOf(message: Uint8Array, wanted: number): Generator<Uint8Array> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted) yield reader.bytes();
    else reader.skip(type);
  }
}
