/** Making the directories that a daemon keeps its files in. */
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { WeftError } from '../errors.js';

/**
 * Makes a directory, and those above it that are missing; it is fine when it is there. Equivalent to `mkdir -p -m`.
 * Throws WeftError INTERNAL with a sentence. Node's own recursive mkdir never returns where a directory takes no new
 * entries and says ENOENT, as /proc does (seen on 20.20).
 */
export function makeDirectory(directory: string, mode: number): void {
  try {
    make(directory, mode);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new WeftError({ reason: 'INTERNAL', message: `${directory} cannot be used: ${why}` }, { cause: error });
  }
}

function make(directory: string, mode: number): void {
  try {
    mkdirSync(directory, mode);
  } catch (error) {
    if (isCode(error, 'EEXIST') && statSync(directory).isDirectory()) return;
    if (!isCode(error, 'ENOENT') || path.dirname(directory) === directory) throw error;
    make(path.dirname(directory), mode);
    mkdirSync(directory, mode);
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
