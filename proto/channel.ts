/** A channel to a controller: credentials from a directory, and what every such channel sets. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Channel, credentials, type ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { WeftError } from '../core/errors.js';

/**
 * The name in every controller's certificate. Clients check it in place of an address, because what they must know is
 * that they speak with a controller of their cluster, wherever it runs.
 */
export const CONTROLLER_SERVER_NAME = 'weft-controller';

/** Where controllers listen unless told otherwise. */
export const DEFAULT_CONTROLLER_PORT = 7070;

/** Files of a credentials directory: the cluster's CA, and this client's certificate and key. All PEM. */
export const TLS_FILES = { ca: 'ca.crt', certificate: 'client.crt', key: 'client.key' } as const;

/** Reads a credentials directory. Throws WeftError NOT_IDENTIFIED when a file of it is missing. */
export async function loadCredentials(directory: string): Promise<ChannelCredentials> {
  const read = async (file: string): Promise<Buffer> => {
    try {
      return await readFile(path.join(directory, file));
    } catch (error) {
      throw new WeftError(
        {
          reason: 'NOT_IDENTIFIED',
          message: `no credentials: ${path.join(directory, file)} cannot be read; name the directory with --tls-dir or WEFT_TLS_DIR`,
        },
        { cause: error },
      );
    }
  };
  const [ca, certificate, key] = await Promise.all([
    read(TLS_FILES.ca),
    read(TLS_FILES.certificate),
    read(TLS_FILES.key),
  ]);
  return credentials.createSsl(ca, key, certificate);
}

/**
 * What every channel to a controller sets: the name to expect, and pings by which a controller that hangs, or that the
 * network has cut off, is noticed within 5 s. A process that connects anew wants a new connection, not one that another
 * of its channels has.
 */
export const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.ssl_target_name_override': CONTROLLER_SERVER_NAME,
  'grpc.default_authority': CONTROLLER_SERVER_NAME,
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  'grpc.enable_channelz': 0,
};

/** A channel to what gRPC calls a target. To one of several controllers: see ControllerChannel. */
export function openChannel(target: string, channelCredentials: ChannelCredentials): Channel {
  return new Channel(target, channelCredentials, CHANNEL_OPTIONS);
}
