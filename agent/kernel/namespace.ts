/**
 * Network namespaces as files: making, entering, opening, listing and deleting them.
 *
 * setns(2) moves one thread, not the process. So whatever must happen inside a namespace happens in one synchronous
 * call on this thread, which is home again when the call returns; a socket opened there stays there.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { step } from '../../core/fault.js';
import { Descriptor } from './descriptor.js';
import { Errno } from './errno.js';
import { flock, mount, setns, umount2, unshare } from './ffi.js';
import { checked, fromNodeError, KernelError } from './kernel-error.js';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x100000;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const LOCK_EX = 2;
/** statfs(2)'s type of a namespace file (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;
/** The namespace of the calling thread, not of the process's first. */
const OWN_NETNS = '/proc/thread-self/ns/net';

/** A result that is certainly no promise: an async callback is a type error. */
export type Sync<T> = T extends PromiseLike<unknown> ? never : T;

let warm: Promise<void> | undefined;

/**
 * Starts libuv's pool of threads while this thread is at home. A pool thread born while this one is inside another
 * namespace would stay in that namespace for good, and so would the sockets and lookups it is later asked for. libuv
 * makes the whole pool at its first job, so one job is enough. `inNetns` starts it too; a main program calls this first,
 * and awaits it, so that the cost is paid at the start.
 */
export function warmThreadPool(): Promise<void> {
  return (warm ??= startThreadPool());
}

function startThreadPool(): Promise<void> {
  return new Promise((resolve) => {
    // Random bytes, because some file operations may go through io_uring and not touch the pool.
    randomBytes(1, () => {
      resolve();
    });
  });
}

/**
 * Runs `open` inside the namespace at `path`, then comes home. Synchronous on purpose: nothing asynchronous may begin
 * in there. Nesting is fine. Equivalent to `nsenter --net=path`.
 *
 * Throws KernelError: ENOENT when there is no such file, EINVAL when it is no namespace, EPERM without CAP_SYS_ADMIN;
 * and whatever `open` throws. Should the way home fail, the process aborts: it could no longer say where it is.
 */
export function inNetns<T>(path: string, open: () => Sync<T>): Sync<T> {
  using target = openNetns(path);
  return away(() => checked(`enter ${path}`, setns(target.fd, CLONE_NEWNET)), open);
}

/** Runs `open` inside a new namespace without a name, which ends with the last socket opened there. Equivalent to `unshare --net`. */
export function inScratchNetns<T>(open: () => Sync<T>): Sync<T> {
  return away(() => checked('unshare network namespace', unshare(CLONE_NEWNET)), open);
}

function away<T>(leave: () => void, open: () => Sync<T>): Sync<T> {
  warm ??= startThreadPool(); // the threads exist from now on; the job's end is of no interest
  using home = openNetns(OWN_NETNS);
  leave();
  let result: Sync<T>;
  try {
    result = open();
  } finally {
    const back = setns(home.fd, CLONE_NEWNET);
    if (back < 0) {
      writeSync(2, `cannot return to the own network namespace: ${new KernelError('setns', -back).message}\n`);
      process.abort();
    }
  }
  if (result instanceof Promise) throw new TypeError('an asynchronous function must not run inside a namespace');
  return result;
}

/** Opens the namespace at `path`, to name it in a netlink request (IFLA_NET_NS_FD). Throws KernelError. */
export function openNetns(path: string): Descriptor {
  try {
    return new Descriptor(openSync(path, 'r'));
  } catch (error) {
    throw fromNodeError(`open ${path}`, error);
  }
}

/** Whether a live namespace is mounted at `path`, rather than nothing or a plain file. */
export function isNetns(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch (error) {
    const typed = fromNodeError(`statfs ${path}`, error);
    if (typed instanceof KernelError && typed.code === 'ENOENT') return false;
    throw typed;
  }
}

/**
 * Makes a network namespace that lives as a mount on the file `path`. Its directory becomes a shared mount, as `ip netns
 * add` makes /run/netns, so that mount namespaces made later (`ip netns exec`) see it go. Equivalent to `ip netns add`.
 * A plain file at `path`, left by a crash half way, is taken over. Throws KernelError EEXIST when a namespace is there.
 */
export function createNetns(path: string): void {
  const operation = `netns add ${path}`;
  shareDirectory(dirname(path));
  if (isNetns(path)) throw new KernelError(operation, Errno.EEXIST);
  try {
    closeSync(openSync(path, 'a', 0o444));
  } catch (error) {
    throw fromNodeError(operation, error);
  }
  try {
    inScratchNetns(() => checked(operation, mount(OWN_NETNS, path, 'none', MS_BIND)));
  } catch (error) {
    unlinkSync(path);
    throw error;
  }
  step('netlink');
}

/** Makes `directory`, and a shared mount of it. */
function shareDirectory(directory: string): void {
  const operation = `share ${directory}`;
  let lock: Descriptor;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    lock = new Descriptor(openSync(directory, 'r'));
  } catch (error) {
    throw fromNodeError(operation, error);
  }
  using held = lock;
  // Two at once would mount the directory over itself twice, the second hiding the first's namespaces. iproute2 takes
  // this same lock.
  checked(operation, flock(held.fd, LOCK_EX));
  const share = (): number => mount('', directory, 'none', MS_SHARED | MS_REC);
  const shared = share();
  if (shared >= 0) return;
  if (-shared !== Errno.EINVAL) throw new KernelError(operation, -shared);
  checked(operation, mount(directory, directory, 'none', MS_BIND | MS_REC)); // it was no mount point yet
  checked(operation, share());
}

/** Unmounts and removes the file of a namespace; without one it does nothing. Equivalent to `ip netns del`. Throws KernelError. */
export function deleteNetns(path: string): void {
  const operation = `netns del ${path}`;
  unmount(operation, path);
  try {
    unlinkSync(path);
  } catch (error) {
    const typed = fromNodeError(operation, error);
    if (!(typed instanceof KernelError && typed.code === 'ENOENT')) throw typed;
  }
  step('netlink');
}

/** Takes away all that is mounted on `path`: two mounts can lie upon each other when something else bound it again. */
function unmount(operation: string, path: string): void {
  for (let depth = 0; depth < 16; depth++) {
    const result = umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    if (result >= 0) continue;
    if (-result === Errno.EINVAL || -result === Errno.ENOENT) return; // no mount point; no file
    throw new KernelError(operation, -result);
  }
}

/** Undoes the shared mount of a directory that `createNetns` used, and removes it once empty. Throws KernelError ENOTEMPTY. */
export function removeNetnsDirectory(directory: string): void {
  const operation = `remove ${directory}`;
  unmount(operation, directory);
  try {
    rmdirSync(directory);
  } catch (error) {
    const typed = fromNodeError(operation, error);
    if (!(typed instanceof KernelError && typed.code === 'ENOENT')) throw typed;
  }
}

/** A file in a directory of namespaces. */
export interface NetnsEntry {
  readonly name: string;
  readonly path: string;
  /** False for a plain file, which a crash half way through making or deleting leaves. */
  readonly mounted: boolean;
}

/** The files in `directory` whose name starts with `prefix`; none when the directory does not exist. Equivalent to `ip netns list`. */
export function listNetns(directory: string, prefix: string): NetnsEntry[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    const typed = fromNodeError(`list ${directory}`, error);
    if (typed instanceof KernelError && typed.code === 'ENOENT') return [];
    throw typed;
  }
  return names
    .filter((name) => name.startsWith(prefix))
    .sort()
    .map((name) => ({ name, path: join(directory, name), mounted: isNetns(join(directory, name)) }));
}
