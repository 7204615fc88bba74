/** `lab.json`: what another process must know to open a lab. Not needed to end one. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { ProcessIdentity } from './procfs.js';

export interface LabState {
  /** Raised when the shape changes; a lab of another version can only be ended. */
  readonly version: 2;
  readonly name: string;
  readonly hosts: readonly string[];
  readonly controllers: readonly string[];
  /** Members of the lab's own etcd cluster; none where the controller brings an etcd along. */
  readonly etcd: readonly string[];
  /** By `<machine>/<what>`: `h1/holder`, `h1/agent`, `c1/controller`, `e1/etcd`. */
  readonly processes: Readonly<Record<string, ProcessIdentity>>;
  /** Whether it was completed. A lab that was not can only be ended. */
  readonly complete: boolean;
}

const FILE = 'lab.json';

/** The state in a lab's directory; undefined when there is none that can be read. */
export function readState(directory: string): LabState | undefined {
  try {
    const state = JSON.parse(readFileSync(path.join(directory, FILE), 'utf8')) as Partial<LabState> | null;
    return state?.version === 2 ? (state as LabState) : undefined;
  } catch {
    return undefined;
  }
}

/** Writes it in one step: a reader, and a crash, see the old or the new state. */
export function writeState(directory: string, state: LabState): void {
  const file = path.join(directory, FILE);
  const draft = `${file}.${String(process.pid)}`;
  writeFileSync(draft, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
}

/** Reads, changes and writes it without anything in between in this process. */
export function updateState(directory: string, change: (state: LabState) => LabState): void {
  const state = readState(directory);
  if (state !== undefined) writeState(directory, change(state));
}
