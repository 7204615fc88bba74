/** `weft`, the command line: a client of the controllers and of this host's agent, like any other. */
import { once } from 'node:events';
import { constants, homedir } from 'node:os';
import { createInterface } from 'node:readline';
import { runCommand } from './run-command.js';
import { runProgram } from './run-program.js';
import { Interruption, type Input, type Output } from './surroundings.js';

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs one command line, `argv` without node and script. Resolves with the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    interrupt.abort(new Interruption(signal, 128 + constants.signals[signal]));
  };
  for (const signal of ENDING_SIGNALS) process.on(signal, onSignal);
  try {
    return await runCommand(argv, {
      stdin: inputFrom(process.stdin),
      writeBytes: (bytes) => writeOut(bytes, interrupt.signal),
      stdout: outputTo(process.stdout),
      stderr: outputTo(process.stderr),
      env: process.env,
      homeDir: homedir(),
      signal: interrupt.signal,
      runProgram,
    });
  } finally {
    for (const signal of ENDING_SIGNALS) process.off(signal, onSignal);
  }
}

/** Where nobody reads any more, what writes on and on ends, as any program that gets SIGPIPE. */
async function writeOut(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const { stdout } = process;
  try {
    if (stdout.errored !== null) throw stdout.errored;
    if (!stdout.write(bytes)) await once(stdout, 'drain', { signal });
  } catch (error) {
    const isPipe = error instanceof Error && 'code' in error && error.code === 'EPIPE';
    throw isPipe ? new Interruption('SIGPIPE', 128 + constants.signals.SIGPIPE) : error;
  }
}

function inputFrom(stream: NodeJS.ReadStream): Input {
  return {
    isTty: stream.isTTY,
    readLine: async (signal) => {
      const lines = createInterface({ input: stream, terminal: false });
      try {
        const [line] = await Promise.race([
          once(lines, 'line', { signal }) as Promise<[string]>,
          once(lines, 'close', { signal }).then((): [undefined] => [undefined]),
        ]);
        return line;
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      } finally {
        lines.close();
      }
    },
  };
}

function outputTo(stream: NodeJS.WriteStream): Output {
  // Nobody reads on (`weft ... | head -1`): no reason to die of it.
  stream.on('error', () => undefined);
  return { write: (text) => stream.write(text), isTty: stream.isTTY };
}
