/**
 * The seam to what runs containers. Each runtime speaks a protocol of its own (Docker's plugin, CNI, this host's socket
 * for `weft`); an adapter turns it into calls of the one `Sandboxes`, and is started and stopped with the agent.
 */
import type { IpAddress } from '../../core/address.js';
import type { Mac } from '../../core/mac.js';
import type { Endpoint } from '../../core/model.js';

/** Something that serves a runtime. To add one: a folder beside this file, and a line in main.ts. */
export interface RuntimeAdapter extends AsyncDisposable {
  readonly name: string;
  /** Resolves when it serves. Rejects with a plain reason when it cannot. */
  start(): Promise<void>;
}

/** Who may use this host's sandboxes. Whoever opens the agent's socket is root, and root is admin. */
export interface LocalPrincipal {
  readonly role: 'admin';
}

/** A network to join, and how; every field checked. */
export interface JoinRequest {
  /** Name or id. */
  readonly network: string;
  /** At most one of each family; the rest are chosen. */
  readonly addresses: readonly IpAddress[];
  readonly mac: Mac | undefined;
  readonly aliases: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** One call: who asks, until when, and the id that follows it through the logs. */
export interface Asked {
  readonly principal: LocalPrincipal;
  /** Aborts when the caller has gone or its time is over: then what was begun is undone. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Return only when every other host concerned has it in its kernel too. */
  readonly wait: boolean;
}

/** A sandbox as it is now. */
export interface SandboxInfo {
  readonly name: string;
  /** Path of its namespace. */
  readonly netns: string;
  readonly state: 'pending' | 'ready' | 'removing';
  readonly endpoints: readonly Endpoint[];
  /** The names of their networks, in their order. */
  readonly networks: readonly string[];
  readonly resolvConf: string;
  readonly hosts: string;
  /** Why it is not ready. */
  readonly problems: readonly string[];
}

/** An outcome, and the store's revision that has it. */
export interface At<T> {
  readonly value: T;
  readonly revision: bigint;
}

/** This host's sandboxes, as every runtime uses them. Methods reject with WeftError. */
export interface Sandboxes {
  /** Makes a sandbox and joins it to networks: all of it, or nothing. */
  create(name: string, joins: readonly JoinRequest[], asked: Asked): Promise<At<SandboxInfo>>;
  /** Joins a sandbox to one more network. Returns when it can send and receive there. */
  connect(name: string, join: JoinRequest, asked: Asked): Promise<At<Endpoint>>;
  /** Takes a sandbox out of a network, by the network's name or id. Returns when its addresses are free. */
  disconnect(name: string, network: string, asked: Asked): Promise<bigint>;
  /** Takes a sandbox out of all its networks and removes it. Programs still running in it stay, without a network. */
  remove(name: string, asked: Asked): Promise<bigint>;
  /** Throws WeftError SANDBOX_NOT_FOUND. */
  get(name: string): SandboxInfo;
  /** In the order of their names. */
  list(): SandboxInfo[];
}
