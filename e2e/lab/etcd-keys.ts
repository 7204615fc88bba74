/**
 * Lists keys in etcd. A program of its own, because it has to run on the machine whose loopback etcd listens on; by
 * etcd's wire, because its command line client is not part of the set-up and its JSON gateway is switched off.
 */
import { readFile } from 'node:fs/promises';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials, Metadata } from '@grpc/grpc-js';

/** An etcd that is just being started gets this long to answer. */
const TIMEOUT_MS = 8_000;

/** `URL PAIR CA FROM TO`: prints the keys from FROM up to TO as JSON. PAIR is a PEM file with key and certificate. */
export async function main(argv: readonly string[]): Promise<void> {
  const [url = '', pairFile = '', caFile = '', from = '', to = ''] = argv;
  const [pair, ca] = await Promise.all([readFile(pairFile), readFile(caFile)]);
  const target = { 'grpc.ssl_target_name_override': 'localhost', 'grpc.max_receive_message_length': 256 * 1024 * 1024 };
  const client = new Client(new URL(url).host, credentials.createSsl(ca, pair, pair), target);
  try {
    const keys = await new Promise<string[]>((resolve, reject) => {
      client.makeUnaryRequest(
        '/etcdserverpb.KV/Range',
        (request: Uint8Array) => Buffer.from(request),
        decodeKeys,
        encodeRange(from, to),
        new Metadata({ waitForReady: true }),
        { deadline: Date.now() + TIMEOUT_MS },
        (error, found) => (error === null ? resolve(found ?? []) : reject(error)),
      );
    });
    process.stdout.write(`${JSON.stringify(keys)}\n`);
  } finally {
    client.close();
  }
}

/** etcdserverpb.RangeRequest with `key` (1), `range_end` (2) and `keys_only` (8). */
function encodeRange(from: string, to: string): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(10).bytes(Buffer.from(from));
  writer.uint32(18).bytes(Buffer.from(to));
  return writer.uint32(64).bool(true).finish();
}

/** The `key` (1) of every `kvs` (2) in an etcdserverpb.RangeResponse. */
function decodeKeys(bytes: Uint8Array): string[] {
  return fields(bytes, 2).flatMap((pair) => fields(pair, 1).map((key) => Buffer.from(key).toString()));
}

function fields(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const reader = new BinaryReader(bytes);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted) found.push(reader.bytes());
    else reader.skip(type);
  }
  return found;
}
