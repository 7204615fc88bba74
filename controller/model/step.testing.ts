/** For tests: what was asked of controllers at the same moment, what they answered, and the store before and after. */
import type { Reason } from '../../core/errors.js';
import type { EndpointId, NetworkId } from '../../core/ids.js';
import type { Endpoint, Network } from '../../core/model.js';
import type { CreateEndpoint } from '../domain/endpoint.js';
import type { UpdateNetwork } from '../domain/network-update.js';
import type { CreateNetwork } from '../domain/network.js';
import type { StoredState } from './stored-state.testing.js';

/** A request with everything in it. */
export type Request =
  | { readonly do: 'createNetwork'; readonly command: CreateNetwork }
  | { readonly do: 'updateNetwork'; readonly command: UpdateNetwork }
  | { readonly do: 'deleteNetwork'; readonly id: NetworkId }
  | { readonly do: 'createEndpoint'; readonly command: CreateEndpoint }
  | { readonly do: 'delete' | 'markReady' | 'release'; readonly id: EndpointId };

/** What was asked for and answered. */
export interface Answer {
  readonly request: Request;
  readonly refusal: Reason | undefined;
  readonly message: string;
  readonly network: Network | undefined;
  readonly endpoint: Endpoint | undefined;
}

/** A burst, with the store's state around it. */
export interface Step {
  readonly before: StoredState;
  readonly after: StoredState;
  readonly answers: readonly Answer[];
  /** Whether answers may have been lost altogether. */
  readonly muted: boolean;
}
