/** What the agent itself asks of the controllers: this host's endpoints, and whether others have caught up. */
import type { EndpointId } from '../../core/ids.js';
import type { Endpoint } from '../../core/model.js';
import { call, type CallContext } from '../../proto/call.js';
import { decodeEndpoint } from '../../proto/codec.js';
import type { ClusterServiceClient } from '../../proto/gen/weft/v1/cluster.js';
import { CreateEndpointRequest, type EndpointServiceClient } from '../../proto/gen/weft/v1/endpoint.js';

/** Milliseconds one try may take; the caller repeats. */
const CALL_MS = 10_000;
const WAIT_MS = 600_000;

/** An endpoint to be made on this host. */
export interface EndpointWish {
  readonly id: EndpointId;
  /** Name or id. */
  readonly network: string;
  readonly sandbox: string;
  readonly aliases: readonly string[];
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Who asks, and for how long. */
export interface Asking {
  readonly signal: AbortSignal;
  readonly requestId: string;
}

/** The controllers as this host calls them. Every method rejects with WeftError. */
export interface Controller {
  /** The same wish again is answered with the same endpoint. */
  createEndpoint(
    wish: EndpointWish,
    session: string,
    asking: Asking,
  ): Promise<{ readonly endpoint: Endpoint; readonly revision: bigint }>;
  /** The revision at which it was marked as removing. */
  deleteEndpoint(id: EndpointId, asking: Asking): Promise<bigint>;
  /** Returns when every reachable host concerned has the revision in its kernel. */
  wait(revision: bigint, asking: Asking): Promise<void>;
}

export interface ControllerClients {
  readonly endpoints: EndpointServiceClient;
  readonly cluster: ClusterServiceClient;
  /** For errors: `the controller at 192.0.2.201:7070`. */
  readonly name: string;
}

/** The controllers over gRPC. */
export function remoteController({ endpoints, cluster, name }: ControllerClients): Controller {
  const context = ({ signal, requestId }: Asking, timeoutMs: number): CallContext => ({
    signal,
    requestId,
    timeoutMs,
    peer: { name, unavailable: 'CONTROLLER_UNAVAILABLE' },
  });
  return {
    createEndpoint: async (wish, session, asking) => {
      const request = CreateEndpointRequest.fromPartial({
        ...wish,
        aliases: [...wish.aliases],
        addresses: [...wish.addresses],
        session,
      });
      const { endpoint, revision } = await call(endpoints.create.bind(endpoints), request, context(asking, CALL_MS));
      if (endpoint === undefined) throw new Error(`${name} answered without an endpoint`);
      return { endpoint: decodeEndpoint(endpoint), revision };
    },
    deleteEndpoint: async (id, asking) => {
      const { revision } = await call(endpoints.delete.bind(endpoints), { id }, context(asking, CALL_MS));
      return revision;
    },
    wait: async (revision, asking) => {
      await call(cluster.wait.bind(cluster), { revision }, context(asking, WAIT_MS));
    },
  };
}
