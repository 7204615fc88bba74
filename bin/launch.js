// What the launchers share: run one program's compiled main.js, wherever the launcher is called from.
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How often is looked whether a program that is done still has something to write, in milliseconds. */
const END_MS = 100;

/**
 * Runs `main(argv): Promise<exit status>` of `dist/<program>/main.js`. Paths are relative to this file, which node
 * has resolved through symlinks: so a link in /usr/local/bin works, from any directory.
 *
 * @param {string} program its folder: `cli`, `e2e/demo`
 * @param {readonly string[]} argv
 */
export async function launch(program, argv = process.argv.slice(2)) {
  const script = new URL(`../dist/${program}/main.js`, import.meta.url);
  if (!existsSync(script)) {
    const name = basename(process.argv[1] ?? program);
    const checkout = fileURLToPath(new URL('..', import.meta.url));
    process.stderr.write(`${name}: not built yet; in ${checkout} run: npm run build\n`);
    process.exitCode = 1;
    return;
  }
  const { main } = await import(script.href);
  // An exit code instead of process.exit(): what is still being written to a pipe gets there.
  process.exitCode = await main(argv);
  // But whoever never answers keeps nobody: grpc-js holds on to a connection whose TLS handshake does not end.
  const end = setInterval(() => {
    if (process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
  }, END_MS);
  end.unref();
}
