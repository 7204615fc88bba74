/**
 * What tools ask of any gRPC server, and what they may ask of this one without a role: a certificate of the cluster is
 * enough. gRPC's health checking protocol, and its reflection, so that `grpcurl` and `buf curl` need no files of Weft's.
 */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation, type ServingStatusMap } from 'grpc-health-check';
import { DESCRIPTORS } from '../../proto/gen/descriptors.js';

/** Milliseconds between two looks at whether it can serve; who watches hears of a change so late at most. */
const LOOK_MS = 500;

/** The whole server, by the protocol, and each service, as all of them are or none. */
const NAMES = [
  '',
  ...['Network', 'Endpoint', 'Host', 'Cluster', 'Watch', 'AgentSync', 'Peer'].map((name) => `weft.v1.${name}Service`),
];

/** SERVING while it can do its work. */
export class Health implements Disposable {
  readonly #health: HealthImplementation;
  readonly #isServing: () => boolean;
  readonly #timer: NodeJS.Timeout;
  #told: boolean;

  constructor(server: Server, isServing: () => boolean) {
    this.#isServing = isServing;
    this.#told = isServing();
    const status = this.#told ? 'SERVING' : 'NOT_SERVING';
    this.#health = new HealthImplementation(
      Object.fromEntries(NAMES.map((name) => [name, status])) satisfies ServingStatusMap,
    );
    this.#health.addToServer(server);
    this.#timer = setInterval(() => {
      this.#tell(this.#isServing());
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** It is stopping: whoever watches is told. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#tell(false);
  }

  #tell(serves: boolean): void {
    if (serves === this.#told) return;
    this.#told = serves;
    for (const name of NAMES) this.#health.setStatus(name, serves ? 'SERVING' : 'NOT_SERVING');
  }
}

/** Lets clients ask which services and messages there are. */
export function addReflection(server: Server): void {
  // It asks of a package only which files it is of. Loaded by a proto-loader, all of weft.v1 would be one file.
  const files = {
    format: 'Protocol Buffer 3 DescriptorProto' as const,
    type: {},
    fileDescriptorProtos: descriptorsOfFiles(),
  };
  new ReflectionService({ weft: files }).addToServer(server);
}

/** The FileDescriptorProtos of a FileDescriptorSet, whose only field, 1, they are. */
function descriptorsOfFiles(): Buffer[] {
  const reader = new BinaryReader(Buffer.from(DESCRIPTORS, 'base64'));
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    reader.tag();
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}
