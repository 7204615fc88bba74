// Exits 0 when node_modules holds exactly what package-lock.json says, 1 when `npm ci` is due. npm itself keeps what
// it installed in node_modules/.package-lock.json, and writes that last: after an npm ci cut short it is not there.
import { existsSync, readFileSync } from 'node:fs';

const read = (file) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')).packages;

function isCurrent() {
  if (!existsSync(new URL('../node_modules/.package-lock.json', import.meta.url))) return false;
  const wanted = read('package-lock.json');
  const installed = read('node_modules/.package-lock.json');
  delete wanted['']; // the project itself
  return (
    Object.keys(installed).every((path) => path in wanted) &&
    Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
      const held = installed[path];
      // The binaries of other platforms are in the lock, and optional.
      return held === undefined ? optional === true : held.version === version && held.integrity === integrity;
    })
  );
}

process.exitCode = isCurrent() ? 0 : 1;
