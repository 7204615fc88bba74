/** The agent's parts, made and joined. The only place that knows all of them. */
import { binding } from '../core/daemon/binding.js';
import { makeDirectory } from '../core/daemon/directory.js';
import { createLogger, type Logger } from '../core/daemon/log.js';
import { serveMetrics } from '../core/daemon/metrics-server.js';
import { runDaemon } from '../core/daemon/run.js';
import type { IpAddress } from '../core/address.js';
import { WeftError } from '../core/errors.js';
import type { EndpointId, HostId } from '../core/ids.js';
import { anySignal, withDeadline } from '../core/lifetime.js';
import { CHANNEL_OPTIONS, loadCredentials } from '../proto/channel.js';
import { ControllerChannel, shuffled } from '../proto/controller-channel.js';
import { parseControllers } from '../proto/controller-list.js';
import { AgentSyncServiceClient } from '../proto/gen/weft/v1/agent_sync.js';
import { ClusterServiceClient } from '../proto/gen/weft/v1/cluster.js';
import { EndpointServiceClient } from '../proto/gen/weft/v1/endpoint.js';
import { DnsServers } from './dns/server.js';
import { overlayDriver } from './drivers/overlay/overlay.js';
import type { RunFlags } from './flags.js';
import { warmThreadPool } from './kernel/namespace.js';
import { probe } from './kernel/probe.js';
import { AgentMetrics } from './metrics.js';
import { unreadyBecause } from './readiness.js';
import { Reconciler, type Companion } from './reconcile/reconciler.js';
import { EndpointCalls } from './runtimes/endpoint-calls.js';
import { SandboxKeeper } from './runtimes/keeper.js';
import { LocalApi } from './runtimes/local-api/local-api.js';
import { SandboxFiles } from './sandbox/files.js';
import { loadHostId } from './sandbox/host-id.js';
import { SandboxRegistry } from './sandbox/registry.js';
import type { Known } from './state/settled.js';
import { leaksOf } from './sandbox/leaks.js';
import { salvage } from './sandbox/salvage.js';
import type { HostFacts } from './state/desired.js';
import { FollowedFile, hasByRecords } from './state/followed.js';
import { SyncClient, type Identity } from './sync/client.js';
import { remoteController } from './sync/controller.js';
import { HostPrefixes } from './tables/host-prefixes.js';
import { LinuxKernel } from './tables/linux-kernel.js';
import { networkNamespace, sandboxNamespace } from './tables/namespace-names.js';
import { Teardown } from './teardown.js';
import { addressOfDefaultRoute, addressTowards, mtuOfAddress } from './tables/underlay.js';

/** How long the first contact may take. A host that never reaches a controller is misconfigured, and says so. */
const FIRST_CONTACT_MS = 30_000;
const UNDERLAY_CHECK_MS = 60_000;
/** How often it is said again which endpoints the cluster has for this host and the host has not. */
const REMIND_MS = 10_000;

/** Runs the agent until it is told to stop; the process's exit status. The kernel is left as it is: a restart loses nothing. */
export async function run(flags: RunFlags): Promise<number> {
  const missing = probe();
  if (missing.length > 0) {
    for (const { message } of missing) process.stderr.write(`weft-agent: ${message}\n`);
    return 1;
  }
  const log = createLogger({ daemon: 'weft-agent', level: flags.logLevel });
  return runDaemon(log, (signal) => work(flags, log, signal));
}

async function work(flags: RunFlags, log: Logger, stop: AbortSignal): Promise<void> {
  // Before any namespace is entered: see there.
  await warmThreadPool();
  await using stack = new Teardown();
  const failing = new AbortController();
  const signal = anySignal(stop, failing.signal);

  makeDirectory(flags.stateDir, 0o700);
  const hostId = await loadHostId(flags.stateDir);
  const vtep = flags.vtep ?? (await findVtep(flags.controller));
  const metrics = new AgentMetrics();
  const registry = SandboxRegistry.open(flags.stateDir);
  for (const problem of registry.problems) log.error(problem, 'a sandbox’s record cannot be read');
  const files = new SandboxFiles(flags.runDir);
  const kernel = stack.use(new LinuxKernel());
  const prefixes = stack.use(new HostPrefixes({ log }));
  const has = () => hasByRecords(registry);
  const followed = stack.use(await FollowedFile.open({ stateDirectory: flags.stateDir, hostId, has, log }));
  const dns = stack.use(new DnsServers({ log, registry: metrics.registry }));

  const controllerName = `the controller at ${flags.controller}`;
  const channelCredentials = await loadCredentials(flags.tlsDir);
  // Shuffled: hosts that have the same list are to spread over its controllers.
  const channel = new ControllerChannel(shuffled(parseControllers(flags.controller)), channelCredentials);
  stack.defer(() => {
    channel.close();
  });
  const options = { ...CHANNEL_OPTIONS, channelOverride: channel };
  const sync = new SyncClient({
    client: new AgentSyncServiceClient('', channelCredentials, options),
    controller: controllerName,
    way: channel,
    hostId,
    vtep,
    followed: () => followed.value,
    prefixes: prefixes.latest,
    log,
  });
  const controller = remoteController({
    endpoints: new EndpointServiceClient('', channelCredentials, options),
    cluster: new ClusterServiceClient('', channelCredentials, options),
    name: controllerName,
  });

  const facts = new Facts(hostId, vtep);
  const answerDns: Companion = (state, { known }) =>
    known === undefined
      ? []
      : dns.update(
          new Map(
            [...state.networks].map(([id, { network }]) => [
              id,
              {
                netns: kernel.pathOf(networkNamespace(id)),
                addresses: network.subnets.map(({ gateway }) => gateway),
              },
            ]),
          ),
          known.view,
          known.unreachable,
        );
  const reconciler = stack.use(
    new Reconciler({
      kernel,
      drivers: [overlayDriver],
      companions: [(state) => files.update(state.sandboxes), answerDns],
      input: () => {
        const { known, identity } = sync.state.value;
        const salvaged = salvage(registry.unreadable, known?.view ?? new Map(), hostId);
        return {
          known,
          facts: facts.with(identity),
          sandboxes: [...registry.sandboxes, ...salvaged],
          notices: registry.problems,
        };
      },
      log,
      onPass: (figures) => {
        metrics.passed(figures);
      },
    }),
  );
  const kick = (): void => {
    reconciler.kick();
  };
  const keeper = new SandboxKeeper({
    hostId,
    registry,
    files,
    calls: new EndpointCalls({ controller, sync: sync.state }),
    sync: sync.state,
    settled: reconciler.settled,
    kick,
    netnsOf: (name) => kernel.pathOf(sandboxNamespace(name)),
    log,
    signal,
    onAttached: (durationMs) => {
      metrics.attached(durationMs);
    },
  });
  stack.defer(() => keeper.stopped());
  const api = stack.use(new LocalApi({ sandboxes: keeper, runDirectory: flags.runDir, log }));
  if (flags.metrics !== undefined) {
    const unready = () => unreadyBecause(reconciler.settled.value);
    stack.use(await binding(flags.metrics, serveMetrics({ registry: metrics.registry, unready, ...flags.metrics })));
  }

  // First of all that acts: it refuses to start beside another agent of this host.
  await api.start();
  await registry.sweep();
  keeper.start();
  sync.state.subscribe((state) => {
    metrics.synced(state);
    if (state.known !== undefined) followed.take(state.known);
    kick();
  });
  const leaks = (known: Known | undefined): readonly EndpointId[] =>
    known === undefined
      ? []
      : leaksOf(known, {
          ...{ hostId, unreadable: registry.unreadable },
          sandboxes: registry.list().map(({ name }) => name),
        });
  reconciler.settled.subscribe((settled) => {
    sync.tell(settled, leaks(settled.known));
  });
  // What is leaked is believed only when it was said before, and nothing else may happen here for long.
  const reminding = setInterval(() => {
    const settled = reconciler.settled.value;
    const leaked = leaks(settled.known);
    if (leaked.length > 0) sync.tell(settled, leaked);
  }, REMIND_MS);
  stack.defer(() => {
    clearInterval(reminding);
  });
  const underlay = setInterval(() => {
    if (facts.refresh(log)) kick();
  }, UNDERLAY_CHECK_MS);
  stack.defer(() => {
    clearInterval(underlay);
  });
  reconciler.start();
  log.info({ hostId, vtep, underlayMtu: facts.underlayMtu, socket: api.socket }, 'started');
  try {
    await Promise.all([sync.run(signal), firstContact(sync, controllerName, signal)]);
  } finally {
    failing.abort();
  }
}

/** Rejects with CONTROLLER_UNAVAILABLE when no controller welcomes this host in time. */
async function firstContact(sync: SyncClient, controller: string, signal: AbortSignal): Promise<void> {
  const late = withDeadline(FIRST_CONTACT_MS, signal);
  try {
    await sync.state.until(({ identity }) => identity, late);
  } catch {
    if (signal.aborted) return;
    throw (
      sync.lastError ??
      new WeftError({ reason: 'CONTROLLER_UNAVAILABLE', message: `${controller} does not answer; is it running?` })
    );
  }
}

async function findVtep(controllers: string): Promise<IpAddress> {
  const fromDefault = addressOfDefaultRoute();
  if (fromDefault !== undefined) return fromDefault;
  const host = /^\[?([^\]]+?)\]?(?::\d+)?$/.exec(controllers.split(',')[0] ?? '')?.[1];
  const towards = host === undefined ? undefined : await addressTowards(host);
  if (towards !== undefined) return towards;
  throw new WeftError({
    reason: 'ARGUMENT_INVALID',
    message: 'this host has no default route and no route to the controller; name its tunnel address with --vtep',
  });
}

/** This host's facts, as one object for as long as they are the same. */
class Facts {
  readonly #hostId: HostId;
  readonly #vtep: IpAddress;
  #underlayMtu: number;
  #identity: Identity | undefined;
  #facts: HostFacts | undefined;

  constructor(hostId: HostId, vtep: IpAddress) {
    this.#hostId = hostId;
    this.#vtep = vtep;
    const mtu = mtuOfAddress(vtep);
    if (mtu === undefined) {
      throw new WeftError({
        reason: 'ARGUMENT_INVALID',
        message: `${vtep} is no address of this host; name its tunnel address with --vtep`,
      });
    }
    this.#underlayMtu = mtu;
  }

  get underlayMtu(): number {
    return this.#underlayMtu;
  }

  /** Undefined before the controller has told who this host is. */
  with(identity: Identity | undefined): HostFacts | undefined {
    if (identity === undefined) return undefined;
    if (this.#facts === undefined || this.#identity !== identity) {
      const { hostNumber: number, hostName: name } = identity;
      this.#identity = identity;
      this.#facts = { hostId: this.#hostId, name, number, vtep: this.#vtep, underlayMtu: this.#underlayMtu };
    }
    return this.#facts;
  }

  /** Looks at the underlay again; whether its MTU is another. */
  refresh(log: Logger): boolean {
    const mtu = mtuOfAddress(this.#vtep);
    if (mtu === undefined || mtu === this.#underlayMtu) return false;
    log.info({ before: this.#underlayMtu, underlayMtu: mtu }, 'the underlay’s MTU has changed');
    this.#underlayMtu = mtu;
    this.#facts = undefined;
    return true;
  }
}
