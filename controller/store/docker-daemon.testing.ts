/**
 * For tests: a Docker daemon of the test's own, in namespaces of its own (network, mounts, processes), so that nothing
 * of it reaches the machine, and all of it ends with one process. Needs root, and Debian's docker.io.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, readdir, realpath, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { anySignal, pause } from '../../core/lifetime.js';

const run = promisify(execFile);

/** Milliseconds in which it is up, or gone, also on a busy machine. */
const PATIENCE_MS = 20_000;

/** How directories and cgroups are called. */
const PREFIX = 'weft-docker-';

/** Milliseconds for which a directory without a daemon may be one that is about to be used. */
const STARTING_MS = 60_000;

const CGROUPS = '/sys/fs/cgroup';

export class DockerDaemon implements AsyncDisposable {
  private constructor(
    /** Gone with the daemon; below it everything that it writes. Containers may be given parts of it. */
    readonly directory: string,
    readonly process: ChildProcess,
  ) {}

  static async start(): Promise<DockerDaemon> {
    await sweep();
    const directory = await mkdtemp(join(tmpdir(), PREFIX));
    // In place of the machine's own configuration.
    await writeFile(join(directory, 'daemon.json'), '{}');
    const log = await open(join(directory, 'log'), 'a');
    const [program, ...args] = argvOf(directory);
    // Its PATH only: DOCKER_* variables would change what is started. A group of its own, for the signal at the end.
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
    const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd], env, detached: true });
    // Rejects where there is no such program.
    const spawned = once(child, 'spawn');
    const daemon = new DockerDaemon(directory, child);
    try {
      await spawned;
      await daemon.#answers();
      return daemon;
    } catch (error) {
      const said = await readFile(join(directory, 'log'), 'utf8');
      await daemon[Symbol.asyncDispose]();
      throw new Error(`dockerd does not come up:\n${said.slice(-2_000)}`, { cause: error });
    } finally {
      await log.close();
    }
  }

  /** As in DOCKER_HOST. */
  get host(): string {
    return `unix://${this.socket}`;
  }

  get socket(): string {
    return join(this.directory, 'docker.sock');
  }

  /**
   * An image that holds just these programs of this machine with the libraries they need, at their own places: there is
   * no registry to pull from. Equivalent to `tar -ch PROGRAM... LIBRARY... | docker import - <repository>:test`.
   */
  async importPrograms(repository: string, programs: readonly string[]): Promise<string> {
    const files = new Set<string>(programs);
    for (const program of programs) {
      // Of a program that is linked statically, ldd says so and fails.
      const { stdout } = await run('ldd', [program]).catch(() => ({ stdout: '' }));
      for (const [library] of stdout.matchAll(/\/\S+/g)) files.add(library);
    }
    const tar = spawn('tar', ['-ch', '-C', '/', ...[...files].map((file) => file.slice(1))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const path = `/images/create?fromSrc=-&repo=${repository}&tag=test`;
    const { status, body } = await this.call('POST', path, tar.stdout);
    if (status !== 200 || body.includes('"error"')) throw new Error(`no image: ${String(status)} ${body}`);
    return `${repository}:test`;
  }

  /** Names of all containers, running or not. Equivalent to `docker ps -a --format '{{.Names}}'`. */
  async containers(): Promise<string[]> {
    const { body } = await this.call('GET', '/containers/json?all=1');
    return (JSON.parse(body) as { Names: string[] }[]).flatMap(({ Names }) => Names);
  }

  /** One request of the daemon's own HTTP API. */
  async call(method: string, path: string, body?: Readable): Promise<{ status: number | undefined; body: string }> {
    const calling = request({ socketPath: this.socket, method, path });
    const answered = once(calling, 'response') as Promise<[Readable & { statusCode?: number }]>;
    if (body === undefined) calling.end();
    else body.pipe(calling);
    const [response] = await answered;
    return { status: response.statusCode, body: await text(response) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { process: child } = this;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      // unshare waits for its child whatever it is sent but SIGKILL; dockerd ends its containers, and with it, the first
      // of its process namespace, all that is left in there has ended.
      kill(child.pid, 'SIGTERM');
      const timer = setTimeout(() => kill(child.pid, 'SIGKILL'), PATIENCE_MS / 2);
      await exited;
      clearTimeout(timer);
    }
    await remove(this.directory);
  }

  async #answers(): Promise<void> {
    const exited = new AbortController();
    this.process.once('exit', () => exited.abort());
    const deadline = anySignal(exited.signal, AbortSignal.timeout(PATIENCE_MS));
    while (await pause(50, deadline)) {
      const answer = await this.call('GET', '/_ping').catch(() => undefined);
      if (answer?.status === 200) return;
    }
    throw new Error(exited.signal.aborted ? 'it ended' : 'it does not answer');
  }
}

function argvOf(directory: string): [string, ...string[]] {
  return [
    'setpriv',
    // Whatever becomes of the test: when its process is gone, so is this.
    ...['--pdeathsig', 'KILL', '--'],
    ...['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'],
    'dockerd',
    ...['--data-root', join(directory, 'data'), '--exec-root', join(directory, 'exec')],
    ...['--host', `unix://${join(directory, 'docker.sock')}`, '--pidfile', join(directory, 'pid')],
    ...['--config-file', join(directory, 'daemon.json'), '--shutdown-timeout', '2'],
    // Nothing of the network is its affair, not even in a namespace of its own.
    ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
    // Works on every file system and without systemd.
    ...['--storage-driver', 'vfs', '--exec-opt', 'native.cgroupdriver=cgroupfs'],
    ...['--cgroup-parent', `/${cgroupOf(directory)}`],
  ];
}

/** Removes what daemons left whose tests were killed. The kernel has ended their processes, and with these the mounts. */
async function sweep(): Promise<void> {
  const running = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => readFile(`/proc/${pid}/cmdline`).catch(() => '')),
  );
  for (const name of await readdir(tmpdir())) {
    const directory = join(tmpdir(), name);
    if (!name.startsWith(PREFIX) || running.some((line) => line.includes(directory))) continue;
    if (Date.now() - (await stat(directory)).mtimeMs > STARTING_MS) await remove(directory);
  }
}

async function remove(directory: string): Promise<void> {
  await removeCgroups(cgroupOf(directory));
  await rm(directory, { recursive: true, force: true, maxRetries: 5 });
}

function cgroupOf(directory: string): string {
  return basename(directory);
}

/** Removes a cgroup of this name from every hierarchy, with the empty ones below it; the kernel may take a moment. */
async function removeCgroups(name: string): Promise<void> {
  const hierarchies = ['', ...(await readdir(CGROUPS, { withFileTypes: true })).filter(isDirectory).map(nameOf)];
  const deadline = AbortSignal.timeout(PATIENCE_MS);
  // Two hierarchies may be one, under a second name.
  const places = new Set(await Promise.all(hierarchies.map((each) => realpath(join(CGROUPS, each)))));
  for (const place of places) {
    while (!(await removeTree(join(place, name))) && (await pause(50, deadline)));
  }
}

/** Cgroups have no files that could be removed: only the directories are. Whether nothing is left. */
async function removeTree(directory: string): Promise<boolean> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    for (const entry of entries.filter(isDirectory)) await removeTree(join(directory, entry.name));
    await rmdir(directory);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT';
  }
}

const isDirectory = (entry: { isDirectory(): boolean }): boolean => entry.isDirectory();
const nameOf = ({ name }: { readonly name: string }): string => name;

/** Signals a whole group, if there still is one. */
function kill(group: number | undefined, signal: NodeJS.Signals): void {
  if (group === undefined) return;
  try {
    process.kill(-group, signal);
  } catch {
    // Gone by itself.
  }
}
