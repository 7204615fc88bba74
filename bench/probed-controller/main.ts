/** weft-controller, which also tells the process that started it how much memory it has in use. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { main as controller } from '../../controller/main.js';

/** Bytes. */
export interface Memory {
  /** Of what is reachable: objects, and buffers outside of V8's heap. */
  readonly live: number;
  readonly rss: number;
}

/** Takes a controller's command line. Answers every message of its parent with a Memory. Returns the exit status. */
export function main(argv: readonly string[]): Promise<number> {
  process.on('message', () => process.send?.(measureMemory()));
  // It is not to live on for questions that may come.
  process.channel?.unref();
  return controller(argv);
}

/** After all that can be collected has been. */
function measureMemory(): Memory {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What only finalizers hold goes with the second.
  collect();
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { live: heapUsed + external, rss };
}
