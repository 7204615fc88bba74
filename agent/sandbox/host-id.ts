/** This host's id: made once, kept in the agent's state directory, and never taken from the machine (clones share that). */
import path from 'node:path';
import { readIfThere, replaceFile } from '../../core/daemon/durable-file.js';
import { newHostId, parseHostId, type HostId } from '../../core/ids.js';

/** The id in STATE/host-id, made where there is none. Rejects with a plain sentence when the file holds something else. */
export async function loadHostId(stateDirectory: string): Promise<HostId> {
  const file = path.join(stateDirectory, 'host-id');
  const text = await readIfThere(file);
  if (text === undefined) {
    const made = newHostId();
    await replaceFile(file, `${made}\n`, 0o600);
    return made;
  }
  const id = parseHostId(text.trim());
  if (id === undefined) throw new Error(`${file} holds no host id; restore it, or remove it to join as a new host`);
  return id;
}
