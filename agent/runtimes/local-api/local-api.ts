/** The agent's unix socket. Only root can open it: its directory and itself are closed to everyone else. */
import { chmodSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { makeDirectory } from '../../../core/daemon/directory.js';
import type { Logger } from '../../../core/daemon/log.js';
import { WeftError } from '../../../core/errors.js';
import { SandboxServiceService } from '../../../proto/gen/weft/v1/sandbox.js';
import type { RuntimeAdapter, Sandboxes } from '../adapter.js';
import { sandboxService } from './service.js';

/** How long running calls may go on when the agent stops. */
const STOP_MS = 2_000;

export interface LocalApiOptions {
  readonly sandboxes: Sandboxes;
  /** The socket is RUN/agent.sock. */
  readonly runDirectory: string;
  readonly log: Logger;
}

export class LocalApi implements RuntimeAdapter {
  readonly name = 'local-api';
  readonly socket: string;
  readonly #options: LocalApiOptions;
  #server: Server | undefined;

  constructor(options: LocalApiOptions) {
    this.#options = options;
    this.socket = path.join(options.runDirectory, 'agent.sock');
  }

  /** Rejects when another agent is alive behind the socket; one that a killed agent left is replaced. */
  async start(): Promise<void> {
    const { runDirectory, sandboxes, log } = this.#options;
    makeDirectory(runDirectory, 0o700);
    chmodSync(runDirectory, 0o700);
    if (await isAlive(this.socket)) {
      const message = `another agent answers at ${this.socket}; stop it, or choose another --run-dir`;
      throw new WeftError({ reason: 'ARGUMENT_INVALID', message });
    }
    rmSync(this.socket, { force: true });
    const server = new Server();
    server.addService(SandboxServiceService, sandboxService(sandboxes, log));
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${this.socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    this.#server = server;
    chmodSync(this.socket, 0o600);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => {
        server.forceShutdown();
      }, STOP_MS);
      server.tryShutdown(() => {
        clearTimeout(force);
        resolve();
      });
    });
    rmSync(this.socket, { force: true });
  }
}

/** Whether somebody accepts connections there. */
function isAlive(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
}
