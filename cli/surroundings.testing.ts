/** Surroundings for tests: what is written is kept, nothing of the real process is seen. */
import type { Output, Surroundings } from './surroundings.js';

export interface Written {
  stdout: string;
  stderr: string;
}

export interface TestSurroundings {
  readonly surroundings: Surroundings;
  readonly written: Written;
  /** Every program that was run, as argv. */
  readonly ran: (readonly string[])[];
  /** What was written as bytes. */
  readonly bytes: Uint8Array[];
}

/** A person at a terminal who types these lines, and then nothing. */
export function typing(...lines: readonly string[]): Pick<Surroundings, 'stdin'> {
  const left = [...lines];
  return { stdin: { isTty: true, readLine: () => Promise.resolve(left.shift()) } };
}

/** Not a terminal, an empty environment, a home that does not exist, programs that end with 0 at once. */
export function testSurroundings(overrides: Partial<Surroundings> = {}): TestSurroundings {
  const written: Written = { stdout: '', stderr: '' };
  const ran: (readonly string[])[] = [];
  const bytes: Uint8Array[] = [];
  const output = (name: keyof Written): Output => ({
    write: (text) => {
      written[name] += text;
    },
    isTty: false,
  });
  const surroundings: Surroundings = {
    stdin: { isTty: false, readLine: () => Promise.resolve(undefined) },
    writeBytes: (chunk) => {
      bytes.push(chunk);
      return Promise.resolve();
    },
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: {},
    homeDir: '/nonexistent',
    signal: new AbortController().signal,
    runProgram: (argv) => {
      ran.push(argv);
      return Promise.resolve(0);
    },
    ...overrides,
  };
  return { surroundings, written, ran, bytes };
}
