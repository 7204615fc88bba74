/** The clients of a command: those of the controllers over one channel, and that of this host's agent. */
import { credentials } from '@grpc/grpc-js';
import { call, type CallContext } from '../proto/call.js';
import { CHANNEL_OPTIONS, loadCredentials } from '../proto/channel.js';
import { ControllerChannel } from '../proto/controller-channel.js';
import { parseControllers } from '../proto/controller-list.js';
import { ClusterServiceClient } from '../proto/gen/weft/v1/cluster.js';
import { EndpointServiceClient } from '../proto/gen/weft/v1/endpoint.js';
import { HostServiceClient } from '../proto/gen/weft/v1/host.js';
import { NetworkServiceClient } from '../proto/gen/weft/v1/network.js';
import { SandboxServiceClient } from '../proto/gen/weft/v1/sandbox.js';
import { WatchServiceClient } from '../proto/gen/weft/v1/watch.js';
import { askAny, type Ask, type CallLimits } from './ask-any.js';
import type { Invocation } from './invocation.js';

export interface Controllers extends Disposable {
  readonly networks: NetworkServiceClient;
  readonly endpoints: EndpointServiceClient;
  readonly hosts: HostServiceClient;
  readonly cluster: ClusterServiceClient;
  readonly watches: WatchServiceClient;
  readonly ask: Ask;
  /** What a call within the command's time goes with, for those that are streams. */
  readonly context: (limits?: CallLimits) => CallContext;
  /** How many there are to go to, */
  readonly size: number;
  /** and to the next of them. */
  readonly moveOn: () => void;
}

export interface Agent extends Disposable {
  readonly sandboxes: SandboxServiceClient;
  readonly ask: Ask;
}

/** Throws WeftError ARGUMENT_INVALID for a malformed list, NOT_IDENTIFIED without credentials. Nothing is sent yet. */
export async function connectControllers(invocation: Invocation): Promise<Controllers> {
  const { controllers, tlsDir } = invocation.globals;
  const places = parseControllers(controllers);
  const secrets = await loadCredentials(tlsDir);
  const channel = new ControllerChannel(places, secrets);
  const options = { channelOverride: channel };
  const context = contextOf(invocation, {
    name: `the controller at ${controllers}`,
    unavailable: 'CONTROLLER_UNAVAILABLE',
  });
  return {
    networks: new NetworkServiceClient('', secrets, options),
    endpoints: new EndpointServiceClient('', secrets, options),
    hosts: new HostServiceClient('', secrets, options),
    cluster: new ClusterServiceClient('', secrets, options),
    watches: new WatchServiceClient('', secrets, options),
    ask: askAny(askWith(context), channel, invocation),
    context,
    size: channel.size,
    moveOn: () => {
      channel.moveOn();
    },
    [Symbol.dispose]: () => {
      channel.close();
    },
  };
}

/** The agent of this host, on its unix socket; who may open the socket may ask. Nothing is sent yet. */
export function connectAgent(invocation: Invocation): Agent {
  const { agentSocket } = invocation.globals;
  const sandboxes = new SandboxServiceClient(`unix:${agentSocket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': CHANNEL_OPTIONS['grpc.max_receive_message_length'] ?? -1,
  });
  return {
    sandboxes,
    ask: askWith(contextOf(invocation, { name: `the agent at ${agentSocket}`, unavailable: 'AGENT_UNAVAILABLE' })),
    [Symbol.dispose]: () => {
      sandboxes.close();
    },
  };
}

function contextOf(invocation: Invocation, peer: CallContext['peer']): Controllers['context'] {
  return ({ timeoutMs = invocation.remainingMs(), signal = invocation.surroundings.signal } = {}) => ({
    ...{ signal, timeoutMs, requestId: invocation.requestId, peer },
  });
}

function askWith(context: Controllers['context']): Ask {
  return (method, request, limits) => call(method, request, context(limits));
}

/** A message inside a response, which every correct peer sends. */
export function present<T>(message: T | undefined, what: string): T {
  if (message === undefined) throw new Error(`the answer holds no ${what}`);
  return message;
}
