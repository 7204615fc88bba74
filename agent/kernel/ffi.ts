/**
 * System calls and libnftables, through koffi. The only file that imports it.
 *
 * Calls return what the kernel returns: not negative, or the negated error number, read in the same tick (koffi keeps
 * the C library's errno per thread, and any later call may change it). Libraries are loaded at first use, not on import.
 */
import koffi from 'koffi';

const INT_MAX = 2 ** 31 - 1;

/** koffi truncates integers that do not fit, silently: close(2**40) would close descriptor 0. */
function fdOf(fd: number): number {
  if (!Number.isInteger(fd) || fd < 0 || fd > INT_MAX) throw new RangeError(`${String(fd)} is no file descriptor`);
  return fd;
}

function intOf(value: number): number {
  if (!Number.isInteger(value) || value < -INT_MAX - 1 || value > INT_MAX) {
    throw new RangeError(`${String(value)} does not fit a C int`);
  }
  return value;
}

function lengthOf(buffer: Uint8Array, length: number): number {
  if (!Number.isInteger(length) || length < 0 || length > buffer.byteLength) {
    throw new RangeError(`length ${String(length)} is outside a buffer of ${String(buffer.byteLength)}`);
  }
  return length;
}

function textOf(text: string): string {
  // C would end the string there, and the kernel act on another path than the one checked.
  if (text.includes('\0')) throw new RangeError('text for the kernel must not contain NUL');
  return text;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

const libc = once(() => koffi.load('libc.so.6'));

type Library = ReturnType<typeof koffi.load>;

/** A C function, looked up at its first call. koffi does not type what it makes: the interfaces below do. */
function lookUp(library: () => Library, declaration: string): () => ReturnType<Library['func']> {
  return once(() => library().func(declaration));
}

/** A call's result, or the negated errno when it is -1. */
function outcome(result: number): number {
  return result === -1 ? -koffi.errno() : result;
}

/** An argument vector in C: its end is a null. */
type Vector = readonly (string | null)[];

interface Libc {
  socket(): (domain: number, type: number, protocol: number) => number;
  close(): (fd: number) => number;
  bind(): (fd: number, address: Uint8Array, length: number) => number;
  listen(): (fd: number, backlog: number) => number;
  send(): (fd: number, data: Uint8Array, length: number, flags: number) => number;
  recv(): (fd: number, data: Uint8Array, length: number, flags: number) => number;
  setsockopt(): (fd: number, level: number, name: number, value: Uint8Array, length: number) => number;
  setns(): (fd: number, type: number) => number;
  unshare(): (flags: number) => number;
  mount(): (source: string, target: string, type: string, flags: number, data: null) => number;
  umount2(): (target: string, flags: number) => number;
  flock(): (fd: number, operation: number) => number;
  fcntl(): (fd: number, command: number, value: number) => number;
  signal(): (signal: number, handler: number) => unknown;
  sigprocmask(): (how: number, set: Uint8Array, old: null) => number;
  execvpe(): (file: string, argv: Vector, env: Vector) => number;
}

const c: Libc = {
  socket: lookUp(libc, 'int socket(int, int, int)'),
  close: lookUp(libc, 'int close(int)'),
  bind: lookUp(libc, 'int bind(int, const void *, uint32_t)'),
  listen: lookUp(libc, 'int listen(int, int)'),
  send: lookUp(libc, 'intptr_t send(int, const void *, size_t, int)'),
  recv: lookUp(libc, 'intptr_t recv(int, void *, size_t, int)'),
  setsockopt: lookUp(libc, 'int setsockopt(int, int, int, const void *, uint32_t)'),
  setns: lookUp(libc, 'int setns(int, int)'),
  unshare: lookUp(libc, 'int unshare(int)'),
  mount: lookUp(libc, 'int mount(const char *, const char *, const char *, unsigned long, const void *)'),
  umount2: lookUp(libc, 'int umount2(const char *, int)'),
  flock: lookUp(libc, 'int flock(int, int)'),
  fcntl: lookUp(libc, 'int fcntl(int, int, int)'),
  signal: lookUp(libc, 'intptr_t signal(int, intptr_t)'),
  sigprocmask: lookUp(libc, 'int sigprocmask(int, const void *, void *)'),
  execvpe: lookUp(libc, 'int execvpe(const char *, const char **, const char **)'),
};

/** socket(2). Pass SOCK_CLOEXEC in `type`. */
export function socket(domain: number, type: number, protocol: number): number {
  return outcome(c.socket()(intOf(domain), intOf(type), intOf(protocol)));
}

/** close(2). */
export function close(fd: number): number {
  return outcome(c.close()(fdOf(fd)));
}

/** bind(2) to a hand-laid socket address. */
export function bind(fd: number, address: Uint8Array): number {
  return outcome(c.bind()(fdOf(fd), address, address.byteLength));
}

/** listen(2). */
export function listen(fd: number, backlog: number): number {
  return outcome(c.listen()(fdOf(fd), intOf(backlog)));
}

/** send(2) of the first `length` bytes. */
export function send(fd: number, data: Uint8Array, length: number): number {
  return outcome(c.send()(fdOf(fd), data, lengthOf(data, length), 0));
}

/** recv(2) with MSG_DONTWAIT | MSG_TRUNC: the length of the whole datagram, which is more than `data` holds when it was cut. */
export function recvDontWait(fd: number, data: Uint8Array): number {
  return outcome(c.recv()(fdOf(fd), data, data.byteLength, 0x60));
}

/** setsockopt(2) with an int value. */
export function setsockoptInt(fd: number, level: number, name: number, value: number): number {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(intOf(value));
  return outcome(c.setsockopt()(fdOf(fd), intOf(level), intOf(name), bytes, 4));
}

/** setns(2): moves the calling thread alone. */
export function setns(fd: number, type: number): number {
  return outcome(c.setns()(fdOf(fd), intOf(type)));
}

/** unshare(2): moves the calling thread alone. */
export function unshare(flags: number): number {
  return outcome(c.unshare()(intOf(flags)));
}

/** mount(2) without data. */
export function mount(source: string, target: string, type: string, flags: number): number {
  return outcome(c.mount()(textOf(source), textOf(target), textOf(type), intOf(flags), null));
}

/** umount2(2). */
export function umount2(target: string, flags: number): number {
  return outcome(c.umount2()(textOf(target), intOf(flags)));
}

/** flock(2); waits for the lock. */
export function flock(fd: number, operation: number): number {
  return outcome(c.flock()(fdOf(fd), intOf(operation)));
}

/** fcntl(2) with an int argument. */
export function fcntl(fd: number, command: number, value: number): number {
  return outcome(c.fcntl()(fdOf(fd), intOf(command), intOf(value)));
}

/** Every signal back to its default, none blocked: what an exec'd program expects, and node (which ignores SIGPIPE) does not leave. */
export function resetSignals(): void {
  const signal = c.signal();
  for (let number = 1; number <= 64; number++) signal(number, 0); // the few that cannot be set answer EINVAL
  c.sigprocmask()(2, Buffer.alloc(128), null);
}

/** execvpe(3): returns only when it failed, with the negated error number. The search path is the process's own PATH. */
export function execvpe(argv: readonly [string, ...string[]], env: readonly string[]): number {
  return outcome(c.execvpe()(textOf(argv[0]), [...argv.map(textOf), null], [...env.map(textOf), null]));
}

/** Calls `onReadable` from the event loop whenever `fd` has something to read; keeps the loop alive only while `ref`. Dispose before closing `fd`. */
export function pollReadable(fd: number, onReadable: () => void): Disposable {
  const handle = koffi.node.poll(fdOf(fd), { readable: true }, onReadable);
  handle.unref();
  let open = true;
  return {
    [Symbol.dispose]() {
      if (!open) return;
      open = false;
      handle.stop();
      handle.close();
    },
  };
}

declare const nftContext: unique symbol;
/** A `struct nft_ctx *`. */
export type NftContext = bigint & { readonly [nftContext]: true };

const libnftables = once(() => {
  try {
    return koffi.load('libnftables.so.1');
  } catch (error) {
    throw new Error('libnftables1 is not installed: apt-get install libnftables1', { cause: error });
  }
});

interface Libnftables {
  create(): (flags: number) => NftContext | null;
  free(): (context: NftContext) => void;
  bufferOutput(): (context: NftContext) => number;
  bufferError(): (context: NftContext) => number;
  setFlags(): (context: NftContext, flags: number) => void;
  run(): (context: NftContext, commands: string) => number;
  output(): (context: NftContext) => string | null;
  error(): (context: NftContext) => string | null;
}

const nft: Libnftables = {
  create: lookUp(libnftables, 'void *nft_ctx_new(uint32_t)'),
  free: lookUp(libnftables, 'void nft_ctx_free(void *)'),
  bufferOutput: lookUp(libnftables, 'int nft_ctx_buffer_output(void *)'),
  bufferError: lookUp(libnftables, 'int nft_ctx_buffer_error(void *)'),
  setFlags: lookUp(libnftables, 'void nft_ctx_output_set_flags(void *, unsigned int)'),
  run: lookUp(libnftables, 'int nft_run_cmd_from_buffer(void *, const char *)'),
  output: lookUp(libnftables, 'const char *nft_ctx_get_output_buffer(void *)'),
  error: lookUp(libnftables, 'const char *nft_ctx_get_error_buffer(void *)'),
};

/** A libnftables context that buffers its output and errors; its netlink socket belongs to the namespace of this moment. */
export function nftNew(): NftContext {
  const context = nft.create()(0);
  if (context === null || context === (0n as NftContext)) throw new Error('libnftables could not make a context');
  if (nft.bufferOutput()(context) !== 0 || nft.bufferError()(context) !== 0) {
    nft.free()(context);
    throw new Error('libnftables could not buffer its output');
  }
  return context;
}

/** Frees the context; it must not be used again. */
export function nftFree(context: NftContext): void {
  nft.free()(context);
}

/** Runs `commands` (JSON when `flags` has NFT_CTX_OUTPUT_JSON, else nft's language) as one transaction. */
export function nftRun(
  context: NftContext,
  commands: string,
  flags: number,
): { readonly ok: boolean; readonly output: string; readonly error: string } {
  nft.setFlags()(context, flags);
  const ok = nft.run()(context, textOf(commands)) === 0;
  return { ok, output: nft.output()(context) ?? '', error: nft.error()(context) ?? '' };
}
