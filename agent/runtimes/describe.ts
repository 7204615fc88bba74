/** A sandbox as it is shown: its record, the cluster's state and the kernel's put together. Pure. */
import type { EndpointId } from '../../core/ids.js';
import type { Endpoint } from '../../core/model.js';
import type { SandboxPaths } from '../sandbox/files.js';
import type { SandboxRecord } from '../sandbox/record.js';
import type { Known, Settled } from '../state/settled.js';
import type { SandboxInfo } from './adapter.js';

/** What it is put together from. */
export interface Sources {
  readonly record: (name: string) => SandboxRecord | undefined;
  readonly known: Known | undefined;
  readonly settled: Settled;
  readonly netnsOf: (name: string) => string;
}

/** The endpoint of that id; undefined when the state has none. */
export function findEndpoint(known: Known, id: EndpointId): Endpoint | undefined {
  for (const { endpoints } of known.view.values()) {
    const endpoint = endpoints.get(id);
    if (endpoint !== undefined) return endpoint;
  }
  return undefined;
}

/** A sandbox is ready when its namespace is there and every endpoint it asked for is in the kernel. */
export function describeSandbox(
  name: string,
  { record: recordOf, known, settled, netnsOf }: Sources,
  files: { pathsOf(name: string): SandboxPaths },
): SandboxInfo {
  const record = recordOf(name);
  const attachments = record?.attachments ?? [];
  const problems = attachments.flatMap(({ endpointId, lost, problem }) =>
    [lost, problem, settled.failed.get(endpointId)].filter((each) => each !== undefined),
  );
  const isReady =
    settled.sandboxes.has(name) && attachments.every(({ endpointId }) => settled.attached.has(endpointId));
  const endpoints = attachments.flatMap(({ endpointId }): Endpoint[] => {
    const endpoint = known === undefined ? undefined : findEndpoint(known, endpointId);
    if (endpoint === undefined) return [];
    const isAttached = endpoint.state === 'pending' && settled.attached.has(endpointId);
    return [isAttached ? { ...endpoint, state: 'ready' } : endpoint];
  });
  return {
    name,
    netns: netnsOf(name),
    state: record?.state === 'removing' ? 'removing' : isReady ? 'ready' : 'pending',
    endpoints,
    networks: endpoints.map(({ networkId }) => known?.view.get(networkId)?.network.name ?? networkId),
    ...files.pathsOf(name),
    problems,
  };
}
