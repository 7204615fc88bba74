/** The list of controllers as people write it, and as gRPC resolves it: addresses and host names, mixed as they come. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { experimental, Metadata, status } from '@grpc/grpc-js';
import { WeftError } from '../core/errors.js';
import { CONTROLLER_SERVER_NAME, DEFAULT_CONTROLLER_PORT } from './channel.js';

/** One controller: an address or a host name, and its port. */
export interface ControllerPlace {
  readonly host: string;
  readonly port: number;
}

/** `HOST[:PORT][,...]`, an IPv6 address with a port in brackets. Throws WeftError ARGUMENT_INVALID. */
export function parseControllers(text: string): readonly ControllerPlace[] {
  const places = text.split(',').map((each) => parsePlace(each.trim()));
  const found = places.filter((place) => place !== undefined);
  if (found.length < places.length) {
    const message = `--controller ${JSON.stringify(text)}: expected HOST:PORT[,HOST:PORT...]`;
    throw new WeftError({ reason: 'ARGUMENT_INVALID', message });
  }
  return found;
}

function parsePlace(text: string): ControllerPlace | undefined {
  if (isIP(text) === 6) return { host: text, port: DEFAULT_CONTROLLER_PORT };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_CONTROLLER_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65535) return undefined;
  return { host, port };
}

/** `192.0.2.1:7070`, `[2001:db8::1]:7070`: as `parseControllers` reads it, and as gRPC names a peer. */
export function renderPlace({ host, port }: ControllerPlace): string {
  return isIP(host) === 6 ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}

const SCHEME = 'weft-controllers';

/**
 * A gRPC target for these controllers in this order. gRPC's own schemes know lists of addresses of one family, or one
 * host name; this one knows any list.
 */
export function targetOf(places: readonly ControllerPlace[]): string {
  experimental.registerResolver(SCHEME, ListResolver);
  return `${SCHEME}:${places.map(renderPlace).join(',')}`;
}

type Listener = experimental.ResolverListener;
type Found = experimental.Endpoint[];

class ListResolver implements experimental.Resolver {
  readonly #places: readonly ControllerPlace[];
  readonly #listener: Listener;
  /** Changed by the end, so that an answer nobody waits for any more is not told. */
  #look: symbol | undefined;

  constructor({ path }: experimental.GrpcUri, listener: Listener) {
    this.#places = parseControllers(path);
    this.#listener = listener;
  }

  /** What all of them are called, wherever they run. */
  static getDefaultAuthority(): string {
    return CONTROLLER_SERVER_NAME;
  }

  /**
   * Looks once. gRPC asks again whenever all have failed, and tries all again when it is told: an answer at once would
   * go round and round. Whoever wants names to be looked up anew makes a new channel.
   */
  updateResolution(): void {
    if (this.#look !== undefined) return;
    const look = Symbol('look');
    this.#look = look;
    const told = resolveAll(this.#places).then(({ found, missing }) => {
      if (look !== this.#look) return;
      const details = missing.join('; ');
      const result: experimental.StatusOr<Found> =
        found.length > 0
          ? experimental.statusOrFromValue(found)
          : experimental.statusOrFromError({ code: status.UNAVAILABLE, details, metadata: new Metadata() });
      this.#listener(result, {}, null, details);
    });
    // Only what gRPC does with the answer could fail, and it says so by itself.
    told.catch(() => undefined);
  }

  destroy(): void {
    this.#look = undefined;
  }
}

/** Every address there is for the list, in its order. A name that is not known is passed over as long as there are others. */
async function resolveAll(places: readonly ControllerPlace[]): Promise<{ found: Found; missing: string[] }> {
  const results = await Promise.all(
    places.map(async ({ host, port }): Promise<Found | string> => {
      try {
        const addresses = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host }];
        return addresses.map(({ address }) => ({ addresses: [{ host: address, port }] }));
      } catch (error) {
        return `${host}: ${error instanceof Error ? error.message : String(error)}`;
      }
    }),
  );
  return {
    found: results.flatMap((result) => (typeof result === 'string' ? [] : result)),
    missing: results.filter((result) => typeof result === 'string'),
  };
}
