/** The peer of a controller's cold start: a node process that reads the same keys from the same etcd, and does no more. */
import { bareRange } from '../bare-range.js';

/** `PREFIX HOST:PORT CA CERTIFICATE KEY`, the last three PEM files; prints how many bytes came. Returns the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const [prefix = '', address = '', ca = '', cert = '', key = ''] = argv;
  const { length } = await bareRange({ address, ca, cert, key }, prefix);
  process.stdout.write(`${String(length)}\n`);
  return 0;
}
