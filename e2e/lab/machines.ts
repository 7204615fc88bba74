/** Making a lab's machines and joining them, and finding those of a lab that runs. */
import path from 'node:path';
import { LabController } from './lab-controller.js';
import { environmentOf, LabHost } from './lab-host.js';
import { LabError } from './lab-error.js';
import { controllerPlace, hostPlace, type Place } from './layout.js';
import type { NamespaceHost } from './namespace-host.js';
import { makeNamespaceHost } from './namespace-host.js';
import { isAlive } from './procfs.js';
import { step, type OnProgress } from './progress.js';
import { readState, updateState } from './state-file.js';
import { joinUnderlay, makeUnderlay } from './underlay.js';

/** Holds the bridge. Nothing runs on it, and its addresses, which no machine has, are given to no device. */
const UNDERLAY: Place = { ...controllerPlace(0), name: 'underlay' };

const holderKey = (machine: string): string => `${machine}/holder`;

export interface Machines {
  readonly hosts: readonly LabHost[];
  readonly controller: LabController;
}

/** The operator's credentials of a lab, for the environment of its machines: the first controller makes them. */
export function credentialsOf(labDirectory: string): string {
  return path.join(labDirectory, 'admin');
}

/** Makes every machine and the underlay between them, recording each holder. Nothing is undone on failure: `down` does that. */
export async function makeMachines(options: {
  readonly labDirectory: string;
  readonly hosts: number;
  readonly onProgress: OnProgress | undefined;
  readonly signal: AbortSignal;
}): Promise<Machines> {
  const { labDirectory, onProgress, signal } = options;
  const controllers = [controllerPlace(1)];
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
  const places = Array.from({ length: options.hosts }, (_, index) => hostPlace(index + 1));
  await step(onProgress, `machines ${[...places, ...controllers].map(({ name }) => name).join(' ')}`, async () => {
    const made = await Promise.all([UNDERLAY, ...places, ...controllers].map(make));
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
  const [c1] = state?.controllers ?? [];
  if (state === undefined || c1 === undefined) return undefined;
  const controllers = state.controllers.map((_, index) => controllerPlace(index + 1));
  const environment = environmentOf({ controllers, credentials: credentialsOf(labDirectory) });
  const common = (place: Place) => {
    const holder = state.processes[holderKey(place.name)];
    if (holder === undefined || !isAlive(holder)) return undefined;
    return { place, directory: path.join(labDirectory, place.name), holder, environment, labDirectory };
  };
  const hosts = state.hosts.map((_, index) => common(hostPlace(index + 1)));
  const controller = common(controllerPlace(1));
  const underlay = common(UNDERLAY);
  if (controller === undefined || underlay === undefined) return undefined;
  const found = hosts.filter((host) => host !== undefined);
  if (found.length < hosts.length) return undefined;
  return {
    hosts: found.map((host) => new LabHost({ ...host, controllers })),
    controller: new LabController(controller),
  };
}
