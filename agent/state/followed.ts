/**
 * What this host followed last, kept on disk: which epoch of the state, and its own part of it. After a restore the
 * controllers ask every host what it runs, and a restarted agent knows that from here alone.
 */
import path from 'node:path';
import { z } from 'zod';
import { readIfThere, replaceFile } from '../../core/daemon/durable-file.js';
import type { Logger } from '../../core/daemon/log.js';
import type { EndpointId, HostId } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import { decodeEndpoint, decodeNetwork, encodeEndpoint, encodeNetwork } from '../../proto/codec.js';
import { Endpoint as EndpointMessage } from '../../proto/gen/weft/v1/endpoint.js';
import { Network as NetworkMessage } from '../../proto/gen/weft/v1/network.js';
import type { Known } from './settled.js';

/** Changes that come together are written together. */
const WRITE_AFTER_MS = 1_000;

/** What a host followed: an epoch of a cluster, its endpoints that were not being removed, and their networks. */
export interface Followed {
  /** Empty: none yet, or followed by an agent that did not write it down. */
  readonly clusterId: string;
  /** Empty: none yet. */
  readonly epoch: string;
  readonly networks: readonly Network[];
  readonly endpoints: readonly Endpoint[];
}

/** What a new host followed. */
export const NOTHING_FOLLOWED: Followed = { clusterId: '', epoch: '', networks: [], endpoints: [] };

/** Whether an endpoint of this host is one that a sandbox here has, rather than one that somebody only wishes for. */
export type HasEndpoint = (endpoint: Pick<Endpoint, 'id' | 'sandbox'>) => boolean;

/** Pure: this host's part of a view. */
export function followedOf(known: Known, hostId: HostId, has: HasEndpoint): Followed {
  const own = [...known.view.values()].map(({ network, endpoints }) => ({
    network,
    endpoints: [...endpoints.values()].filter(
      (endpoint) => endpoint.hostId === hostId && endpoint.state !== 'removing' && has(endpoint),
    ),
  }));
  const used = own.filter(({ endpoints }) => endpoints.length > 0);
  return {
    clusterId: known.clusterId,
    epoch: known.epoch,
    networks: used.map(({ network }) => network),
    endpoints: used.flatMap(({ endpoints }) => endpoints),
  };
}

const fileSchema = z.strictObject({
  version: z.literal(1),
  clusterId: z.string().default(''),
  epoch: z.string().min(1),
  networks: z.array(z.unknown()),
  endpoints: z.array(z.unknown()),
});

/** The file's text. */
export function encodeFollowed({ clusterId, epoch, networks, endpoints }: Followed): string {
  const content = {
    version: 1,
    clusterId,
    epoch,
    networks: networks.map((network) => NetworkMessage.toJSON(encodeNetwork(network))),
    endpoints: endpoints.map((endpoint) => EndpointMessage.toJSON(encodeEndpoint(endpoint))),
  };
  return `${JSON.stringify(content)}\n`;
}

/** Throws Error where the text is none of `encodeFollowed`'s. */
export function decodeFollowed(text: string): Followed {
  const { clusterId, epoch, networks, endpoints } = fileSchema.parse(JSON.parse(text));
  return {
    clusterId,
    epoch,
    networks: networks.map((network) => decodeNetwork(NetworkMessage.fromJSON(network))),
    endpoints: endpoints.map((endpoint) => decodeEndpoint(EndpointMessage.fromJSON(endpoint))),
  };
}

export interface FollowedFileOptions {
  readonly stateDirectory: string;
  readonly hostId: HostId;
  /** As of now. */
  readonly has: () => HasEndpoint;
  readonly log: Logger;
}

/** STATE/followed.json, a moment behind what is followed. */
export class FollowedFile implements AsyncDisposable {
  readonly #options: FollowedFileOptions;
  readonly #before: Followed;
  #known: Known | undefined;
  #written: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: FollowedFileOptions, before: Followed) {
    this.#options = options;
    this.#before = before;
  }

  /** Reads what was followed before. What cannot be read counts as nothing, and is told in the log. */
  static async open(options: FollowedFileOptions): Promise<FollowedFile> {
    const file = fileIn(options);
    try {
      const text = await readIfThere(file);
      return new FollowedFile(options, text === undefined ? NOTHING_FOLLOWED : decodeFollowed(text));
    } catch (error) {
      options.log.error({ err: error, file }, 'what this host followed last cannot be read; it is written anew');
      return new FollowedFile(options, NOTHING_FOLLOWED);
    }
  }

  /** As of now. */
  get value(): Followed {
    const { hostId, has } = this.#options;
    return this.#known === undefined ? this.#before : followedOf(this.#known, hostId, has());
  }

  /** Takes in what is followed now; the disk has it soon, and an epoch at once. */
  take(known: Known): void {
    const isNewEpoch = (this.#known ?? this.#before).epoch !== known.epoch;
    this.#known = known;
    if (isNewEpoch) this.#write();
    else
      this.#timer ??= setTimeout(() => {
        this.#write();
      }, WRITE_AFTER_MS);
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const file = fileIn(this.#options);
    this.#writing = this.#writing.then(async () => {
      const text = encodeFollowed(this.value);
      if (text === this.#written) return;
      try {
        await replaceFile(file, text, 0o600);
        this.#written = text;
      } catch (error) {
        this.#options.log.error({ err: error, file }, 'what this host follows cannot be written down');
      }
    });
  }

  /** Resolves when the disk has it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== undefined) this.#write();
    await this.#writing;
  }
}

function fileIn({ stateDirectory }: FollowedFileOptions): string {
  return path.join(stateDirectory, 'followed.json');
}

/** What a host's records say at the moment: its sandboxes' endpoints, and sandboxes whose records cannot be read. */
export function hasByRecords(records: {
  readonly sandboxes: readonly { readonly attachments: readonly { readonly endpointId: EndpointId }[] }[];
  readonly unreadable: readonly string[];
}): HasEndpoint {
  const recorded = new Set(
    records.sandboxes.flatMap(({ attachments }) => attachments.map(({ endpointId }) => endpointId)),
  );
  return ({ id, sandbox }) => recorded.has(id) || records.unreadable.includes(sandbox);
}
