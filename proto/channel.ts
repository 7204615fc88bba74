/** The way to the controllers: credentials from a directory, and one channel over a list of addresses. */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
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

/** Controllers as typed, `HOST[:PORT][,...]`, as a gRPC target. Throws WeftError ARGUMENT_INVALID. */
export function parseControllers(text: string): string {
  const addresses = text.split(',').map(parseHostPort);
  const families = addresses.map(({ host }) => isIP(host));
  const first = addresses[0];
  if (first === undefined || addresses.some(({ host }) => host === '')) throw badControllers(text);
  if (families.every((family) => family === 4)) return `ipv4:${addresses.map(render).join(',')}`;
  if (families.every((family) => family === 6)) return `ipv6:${addresses.map(render).join(',')}`;
  if (addresses.length > 1) {
    throw new WeftError({
      reason: 'ARGUMENT_INVALID',
      message: `--controller ${text}: a list holds addresses of one family; a host name stands alone`,
    });
  }
  return `dns:///${render(first)}`;
}

function parseHostPort(text: string): { host: string; port: number } {
  if (isIP(text) === 6) return { host: text, port: DEFAULT_CONTROLLER_PORT };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_CONTROLLER_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65535) throw badControllers(text);
  return { host, port };
}

function badControllers(text: string): WeftError {
  return new WeftError({
    reason: 'ARGUMENT_INVALID',
    message: `--controller ${JSON.stringify(text)}: expected HOST:PORT[,HOST:PORT...]`,
  });
}

function render({ host, port }: { host: string; port: number }): string {
  return isIP(host) === 6 ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}

/** What every channel to a controller sets: the name to expect, and pings that notice a silent network within 15 s. */
export const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.ssl_target_name_override': CONTROLLER_SERVER_NAME,
  'grpc.default_authority': CONTROLLER_SERVER_NAME,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
};

/** One channel to the first controller of the list that answers; every client of a process shares it. */
export function openChannel(target: string, channelCredentials: ChannelCredentials): Channel {
  return new Channel(target, channelCredentials, CHANNEL_OPTIONS);
}
