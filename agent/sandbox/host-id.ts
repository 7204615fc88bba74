/** This host's id: made once, kept in the agent's state directory, and never taken from the machine (clones share that). */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { newHostId, parseHostId, type HostId } from '../../core/ids.js';
import { writeDurably } from './durable-file.js';

/** The id in STATE/host-id, made where there is none. Rejects with a plain sentence when the file holds something else. */
export async function loadHostId(stateDirectory: string): Promise<HostId> {
  const file = path.join(stateDirectory, 'host-id');
  const text = await readOrNothing(file);
  if (text === undefined) {
    const made = newHostId();
    await writeDurably(file, `${made}\n`);
    return made;
  }
  const id = parseHostId(text.trim());
  if (id === undefined) throw new Error(`${file} holds no host id; restore it, or remove it to join as a new host`);
  return id;
}

async function readOrNothing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
