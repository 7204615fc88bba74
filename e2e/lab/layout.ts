/** Where a lab's things are and what they are called. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseIp, type IpAddress } from '../../core/address.js';
import { isName, NAME_RULE } from '../../core/name.js';
import { LabError } from './lab-error.js';

/** Where labs are kept, unless WEFT_LAB_DIR says otherwise. */
export function labsDirectory(): string {
  return process.env['WEFT_LAB_DIR'] ?? '/var/lib/weft-lab';
}

/** The directory of one lab. Throws LabError for what is no name: it becomes part of a path that is deleted later. */
export function labDirectory(name: string, directory = labsDirectory()): string {
  if (!isName(name)) throw new LabError('invalid', `--lab ${JSON.stringify(name)}: ${NAME_RULE}`);
  return path.join(path.resolve(directory), name);
}

/** The most machines of each kind a lab can have: the addresses of one kind end before those of the next begin. */
export const MOST = { hosts: 100, controllers: 9, etcd: 9 } as const;

/** One machine of a lab. */
export interface Place {
  /** `h1`, `c1`, `e1`. */
  readonly name: string;
  readonly ipv4: IpAddress;
  readonly ipv6: IpAddress;
}

/** Prefix lengths of the underlay: 192.0.2.0/24 and 2001:db8::/64, both set aside for documentation. */
export const UNDERLAY_PREFIX = { 4: 24, 6: 64 } as const;

/** Host number `number`, from 1: `h1` is 192.0.2.1 and 2001:db8::1. */
export function hostPlace(number: number): Place {
  return place(`h${String(number)}`, `192.0.2.${String(number)}`, `2001:db8::${String(number)}`);
}

/** Controller number `number`, from 1: `c1` is 192.0.2.201 and 2001:db8::c1. */
export function controllerPlace(number: number): Place {
  return place(`c${String(number)}`, `192.0.2.${String(200 + number)}`, `2001:db8::c${String(number)}`);
}

/** etcd member number `number`, from 1: `e1` is 192.0.2.151 and 2001:db8::e1. */
export function etcdPlace(number: number): Place {
  return place(`e${String(number)}`, `192.0.2.${String(150 + number)}`, `2001:db8::e${String(number)}`);
}

function place(name: string, ipv4: string, ipv6: string): Place {
  const parsed = { name, ipv4: parseIp(ipv4), ipv6: parseIp(ipv6) };
  if (parsed.ipv4 === undefined || parsed.ipv6 === undefined) throw new RangeError(`a lab has no machine ${name}`);
  return { name, ipv4: parsed.ipv4, ipv6: parsed.ipv6 };
}

/** The port of a lab's controllers. */
export const CONTROLLER_PORT = 7070;

/** The ports of a lab's etcd members. */
export const ETCD_PORTS = { client: 2379, peer: 2380 } as const;

/** Where an agent keeps its socket, in its host's own /run. */
export const AGENT_RUN_DIRECTORY = '/run/weft';
export const AGENT_SOCKET = '/run/weft/agent.sock';

/** The checkout this file belongs to, whether it runs from source or compiled. */
export function checkoutDirectory(): string {
  let directory = path.dirname(fileURLToPath(import.meta.url));
  while (!existsSync(path.join(directory, 'package.json'))) {
    const parent = path.dirname(directory);
    if (parent === directory) throw new LabError('failed', 'the lab runs from a checkout, and finds no package.json');
    directory = parent;
  }
  return directory;
}
