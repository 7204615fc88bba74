/** Making a lab's machines and joining them, and finding those of a lab that runs. */
import path from 'node:path';
import { LabController } from './lab-controller.js';
import { environmentOf, LabHost } from './lab-host.js';
import { LabError } from './lab-error.js';
import { etcdAccess, LabEtcd } from './lab-etcd.js';
import { makeEtcdCertificates } from './etcd-certificates.js';
import { controllerPlace, etcdPlace, hostPlace, type Place } from './layout.js';
import { makeNamespaceHost, NamespaceHost } from './namespace-host.js';
import { isAlive } from './procfs.js';
import { step, type OnProgress } from './progress.js';
import { readState, updateState } from './state-file.js';
import { joinUnderlay, makeUnderlay } from './underlay.js';

/** Holds the bridge. Nothing runs on it, and its addresses, which no machine has, are given to no device. */
const UNDERLAY: Place = { ...controllerPlace(0), name: 'underlay' };

const holderKey = (machine: string): string => `${machine}/holder`;

export interface Machines {
  readonly hosts: readonly LabHost[];
  /** c1 first. */
  readonly controllers: readonly [LabController, ...LabController[]];
  /** Members of the lab's own etcd cluster; none where c1 brings its etcd along. */
  readonly etcd: readonly LabEtcd[];
  /** Holds the bridge between all others. */
  readonly underlay: NamespaceHost;
}

/** Where the machines of each kind are. */
export interface Places {
  readonly hosts: readonly Place[];
  readonly controllers: readonly Place[];
  readonly etcd: readonly Place[];
}

/** The places of so many machines of each kind. */
export function placesOf(counts: { readonly [Kind in keyof Places]: number }): Places {
  const first = (count: number, place: (number: number) => Place): readonly Place[] =>
    Array.from({ length: count }, (_, index) => place(index + 1));
  return {
    hosts: first(counts.hosts, hostPlace),
    controllers: first(counts.controllers, controllerPlace),
    etcd: first(counts.etcd, etcdPlace),
  };
}

/** The operator's credentials of a lab, for the environment of its machines: the first controller makes them. */
export function credentialsOf(labDirectory: string): string {
  return path.join(labDirectory, 'admin');
}

/** Makes every machine and the underlay between them, recording each holder. Nothing is undone on failure: `down` does that. */
export async function makeMachines(options: {
  readonly labDirectory: string;
  readonly places: Places;
  readonly onProgress: OnProgress | undefined;
  readonly signal: AbortSignal;
}): Promise<Machines> {
  const { labDirectory, onProgress, signal } = options;
  const { hosts, controllers, etcd } = options.places;
  const environment = environmentOf({ controllers, credentials: credentialsOf(labDirectory) });
  const make = async (place: Place): Promise<NamespaceHost> => {
    const directory = path.join(labDirectory, place.name);
    const host = await makeNamespaceHost({ place, directory, environment }, signal);
    updateState(labDirectory, (state) => ({
      ...state,
      processes: { ...state.processes, [holderKey(place.name)]: host.holder },
    }));
    return host;
  };
  const places = [...hosts, ...controllers, ...etcd];
  await step(onProgress, `machines ${places.map(({ name }) => name).join(' ')}`, async () => {
    if (etcd.length > 0) await makeEtcdCertificates(labDirectory, etcd);
    const made = await Promise.all([UNDERLAY, ...places].map(make));
    const [machine, ...others] = made;
    if (machine === undefined) return;
    await makeUnderlay(machine, signal);
    await joinUnderlay(machine, others, signal);
  });
  const machines = findMachines(labDirectory);
  if (machines === undefined) throw new LabError('failed', 'a machine ended while its lab was made');
  return machines;
}

/** The machines of a lab as it was recorded; undefined unless all of them are there. */
export function findMachines(labDirectory: string): Machines | undefined {
  const state = readState(labDirectory);
  if (state === undefined) return undefined;
  const places = placesOf({
    hosts: state.hosts.length,
    controllers: state.controllers.length,
    etcd: state.etcd.length,
  });
  const { controllers, etcd: members } = places;
  const environment = environmentOf({ controllers, credentials: credentialsOf(labDirectory) });
  const common = (place: Place) => {
    const holder = state.processes[holderKey(place.name)];
    if (holder === undefined || !isAlive(holder)) return undefined;
    return { place, directory: path.join(labDirectory, place.name), holder, environment, labDirectory };
  };
  const find = (each: readonly Place[]) => each.map(common).filter((found) => found !== undefined);
  const access = members.length === 0 ? undefined : etcdAccess(labDirectory, members);
  const hosts = find(places.hosts).map((host) => new LabHost({ ...host, controllers }));
  const [c1, ...further] = find(controllers).map((controller) => new LabController({ ...controller, etcd: access }));
  const etcd = find(members).map((member) => new LabEtcd({ ...member, members }));
  const underlay = common(UNDERLAY);
  if (c1 === undefined || underlay === undefined) return undefined;
  const missing =
    hosts.length < places.hosts.length || 1 + further.length < controllers.length || etcd.length < members.length;
  return missing ? undefined : { hosts, controllers: [c1, ...further], etcd, underlay: new NamespaceHost(underlay) };
}
