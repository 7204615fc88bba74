/** A host of a lab with its agent, and what every program on a lab's machine finds in its environment. */
import { connect } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { Daemon } from './daemon.js';
import { AGENT_RUN_DIRECTORY, AGENT_SOCKET, checkoutDirectory, CONTROLLER_PORT, type Place } from './layout.js';
import { NamespaceHost, type NamespaceHostOptions } from './namespace-host.js';
import type { Environment } from './process.js';

/** One of the checkout's launchers, as users start it. */
export function program(name: 'weft' | 'weft-agent' | 'weft-controller'): string {
  return path.join(checkoutDirectory(), 'bin', name);
}

/** `HOST:PORT` of every controller, as flags and WEFT_CONTROLLER have it. */
function controllerList(controllers: readonly Place[]): string {
  return controllers.map(({ ipv4 }) => `${ipv4}:${String(CONTROLLER_PORT)}`).join(',');
}

/** So that `weft` on any machine of the lab is this checkout's, and finds its cluster and its agent. */
export function environmentOf(options: {
  readonly controllers: readonly Place[];
  readonly credentials: string;
}): Environment {
  return {
    PATH: [path.join(checkoutDirectory(), 'bin'), process.env['PATH'] ?? ''].join(path.delimiter),
    WEFT_CONTROLLER: controllerList(options.controllers),
    WEFT_TLS_DIR: options.credentials,
    WEFT_AGENT: AGENT_SOCKET,
  };
}

export class LabHost extends NamespaceHost {
  /** Its `weft-agent`. */
  readonly agent: Daemon;

  constructor(options: NamespaceHostOptions & { labDirectory: string; controllers: readonly Place[] }) {
    super(options);
    const { labDirectory, controllers } = options;
    const flags = {
      '--controller': controllerList(controllers),
      '--tls-dir': this.subdirectory('tls'),
      '--state-dir': this.subdirectory('state'),
      '--run-dir': AGENT_RUN_DIRECTORY,
    };
    this.agent = new Daemon({
      labDirectory,
      host: this,
      what: 'agent',
      argv: [program('weft-agent'), 'run', ...Object.entries(flags).flat()],
      isReady: (signal) => answers(this.fromOutside(AGENT_SOCKET), signal),
    });
  }
}

/** Whether somebody accepts connections on a unix socket. */
async function answers(socketPath: string, signal: AbortSignal): Promise<boolean> {
  const socket = connect(socketPath);
  try {
    await once(socket, 'connect', { signal });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
