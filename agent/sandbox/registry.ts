/** The sandboxes of this host: in memory to read, one file each on disk to survive. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { makeDirectory } from '../../core/daemon/directory.js';
import { isDraft, removeFile, replaceFile } from '../../core/daemon/durable-file.js';
import type { Problem } from '../../core/model.js';
import { isName } from '../../core/name.js';
import { nameKey } from '../../core/name.js';
import type { LocalSandbox } from '../state/desired.js';
import { decodeRecord, encodeRecord, type SandboxRecord } from './record.js';

const SUFFIX = '.json';

/** Records change in memory at once and reach the disk in order; who depends on the disk awaits the returned promise. */
export class SandboxRegistry {
  readonly #directory: string;
  readonly #records = new Map<string, SandboxRecord>();
  /** The last write of each file: writes to one file must not overtake each other. */
  readonly #writes = new Map<string, Promise<void>>();
  #problems: readonly Problem[] = [];
  /** Drafts that were there at the start: of an agent that was killed, or of one that lives. */
  #drafts: readonly string[] = [];
  #list: readonly LocalSandbox[] | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads every record below `stateDirectory`. One that cannot be read is left as it is, and told in `problems`. */
  static open(stateDirectory: string): SandboxRegistry {
    const directory = path.join(stateDirectory, 'sandboxes');
    makeDirectory(directory, 0o700);
    const registry = new SandboxRegistry(directory);
    const problems: Problem[] = [];
    const names = readdirSync(directory).sort();
    registry.#drafts = names.filter(isDraft);
    for (const file of names) {
      if (!file.endsWith(SUFFIX)) continue;
      try {
        const record = decodeRecord(readFileSync(path.join(directory, file), 'utf8'));
        if (file !== `${record.name}${SUFFIX}`) throw new Error(`it is of sandbox ${record.name}`);
        registry.#records.set(record.name, record);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const message = `this record cannot be read and is left alone (${reason}); repair or remove the file, then restart the agent`;
        problems.push({ object: path.join(directory, file), message });
      }
    }
    registry.#problems = problems;
    return registry;
  }

  /** Removes what a killed agent left half written. Only once it is sure that no other agent uses the directory. */
  async sweep(): Promise<void> {
    const drafts = this.#drafts;
    this.#drafts = [];
    await Promise.all(drafts.map((draft) => removeFile(path.join(this.#directory, draft))));
  }

  /** Files that could not be read. */
  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** The sandboxes as the desired state needs them: all, in the order of their names, without attachments that are to go. */
  get sandboxes(): readonly LocalSandbox[] {
    this.#list ??= this.list().map(({ name, attachments }) => ({ name, attachments }));
    return this.#list;
  }

  /** Every record, in the order of the names. */
  list(): SandboxRecord[] {
    return [...this.#records.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): SandboxRecord | undefined {
    return this.#records.get(name);
  }

  /** The sandbox that answers to this name in DNS, which does not tell upper from lower case. */
  namesake(name: string): SandboxRecord | undefined {
    const key = nameKey(name);
    return this.list().find((record) => nameKey(record.name) === key);
  }

  /** Names of the sandboxes whose files could not be read. */
  get unreadable(): readonly string[] {
    return this.#problems.map(({ object }) => path.basename(object, SUFFIX)).filter(isName);
  }

  /** Whether a file of that name is there which could not be read: its sandbox may exist, so none may take its name. */
  isUnreadable(name: string): boolean {
    return this.#problems.some(({ object }) => object === this.#fileOf(name));
  }

  /** Resolves when the record is on disk. When the disk refuses it, the record that was there before is back. */
  put(record: SandboxRecord): Promise<void> {
    const { name } = record;
    const before = this.#records.get(name);
    this.#records.set(name, record);
    return this.#write(name, async () => {
      try {
        await replaceFile(this.#fileOf(name), encodeRecord(record), 0o600);
      } catch (error) {
        if (this.#records.get(name) === record) this.#restore(name, before);
        throw error;
      }
    });
  }

  #restore(name: string, record: SandboxRecord | undefined): void {
    this.#list = undefined;
    if (record === undefined) this.#records.delete(name);
    else this.#records.set(name, record);
  }

  /** Resolves when it is gone from the disk. */
  drop(name: string): Promise<void> {
    this.#records.delete(name);
    return this.#write(name, () => removeFile(this.#fileOf(name)));
  }

  /** Resolves when everything put or dropped so far has been tried. */
  async flushed(): Promise<void> {
    await Promise.allSettled([...this.#writes.values()]);
  }

  #write(name: string, act: () => Promise<void>): Promise<void> {
    this.#list = undefined;
    const before = this.#writes.get(name) ?? Promise.resolve();
    const write = before.then(act, act);
    const last = write.finally(() => {
      if (this.#writes.get(name) === last) this.#writes.delete(name);
    });
    last.catch(() => undefined); // told to whoever awaits the write
    this.#writes.set(name, last);
    return write;
  }

  #fileOf(name: string): string {
    return path.join(this.#directory, `${name}${SUFFIX}`);
  }
}
